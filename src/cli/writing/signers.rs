//! The private keys that commands are given: PEM files, and keys on tokens.
//!
//! They stand here and not in [`crate::signing`]: files, tokens, passphrases and prompts are the command line's. Every
//! failure with a key is of class usage, and comes before any work.

use std::path::{Path, PathBuf};

use super::passphrase;
use crate::base::fault::{Class, Fault, escape};
use crate::cli::pem::{read_file, shown, wrong};
use crate::cli::world::World;
use crate::keys::pkcs11::Uri;
use crate::keys::pkcs11::module::Modules;
use crate::keys::pkcs11::uri::SCHEME;
use crate::signing::envelope::MAX_SIGNATURES;
use crate::signing::key::{self, Contents};
use crate::signing::private::SigningKey;
use crate::signing::private::signer::Signer;

/// The private keys that sign, for `--sign` and `--passphrase-file`: PEM files, and keys on tokens by their URIs. The n-th
/// passphrase file is the n-th key's; a key that wants a passphrase or a PIN and has none is asked for on a terminal.
///
/// # Errors
/// Class usage, before any work: a file that is no private key, or that others can read, a wrong passphrase, a token that
/// is not there, the same key twice, more passphrases than keys.
pub fn load_signers(
    paths: &[PathBuf],
    passphrase_files: &[PathBuf],
    world: &mut World,
) -> Result<Vec<Box<dyn Signer>>, Fault> {
    if paths.len() > MAX_SIGNATURES {
        let what = format!("--sign: expected at most {MAX_SIGNATURES} keys, found {}", paths.len());
        return Err(Fault::usage(what, "a bundle has no more signatures"));
    }
    if passphrase_files.len() > paths.len() {
        let what =
            format!("expected at most {} --passphrase-file, one a key, found {}", paths.len(), passphrase_files.len());
        return Err(Fault::new(Class::Usage, what).help("give them in the order of --sign"));
    }
    let mut modules = Modules::default();
    let mut keys: Vec<Box<dyn Signer>> = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let passphrase = passphrase_files.get(index).map(PathBuf::as_path);
        let key: Box<dyn Signer> = match path.to_str().filter(|text| text.starts_with(SCHEME)) {
            Some(uri) => on_token(&mut modules, &Uri::parse(uri)?, passphrase, world)?,
            None => Box::new(read_private(path, passphrase, world)?),
        };
        if keys.iter().any(|other| other.public() == key.public()) {
            let what = format!("key {}: given twice", key.public().id());
            return Err(Fault::new(Class::Usage, what).help("give each --sign once"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Opens a key on a token. The PIN comes from the URI, else from `pin`, else a person is asked.
fn on_token(modules: &mut Modules, uri: &Uri, pin: Option<&Path>, world: &mut World) -> Result<Box<dyn Signer>, Fault> {
    let source = uri.pin_source.as_deref().or(pin);
    let pin = |token: &str| match source {
        Some(source) => passphrase::read(source, world),
        None if world.terminal.stdin => passphrase::ask(&format!("PIN for {}: ", escape(token)), world),
        None => {
            let what = format!("key {uri}: expected a PIN, found no terminal to ask for one");
            Err(Fault::new(Class::Usage, what).help("give pin-source= in the URI, or --passphrase-file"))
        }
    };
    Ok(Box::new(modules.open(uri, pin)?))
}

fn read_private(path: &Path, passphrase_file: Option<&Path>, world: &mut World) -> Result<SigningKey, Fault> {
    let bytes = read_file(path, world)?;
    let encrypted = key::contents(&bytes) == Ok(Contents::Encrypted);
    let passphrase = match passphrase_file {
        Some(file) if encrypted => Some(passphrase::read(file, world)?),
        None if encrypted && world.terminal.stdin => {
            Some(passphrase::ask(&format!("passphrase for {}: ", shown(path)), world)?)
        }
        _ => None,
    };
    SigningKey::from_pem(&bytes, passphrase.as_ref().map(|text| text.as_bytes())).map_err(|error| wrong(path, &error))
}
