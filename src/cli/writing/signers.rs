//! Private keys given to commands: PEM files and keys on tokens.
//!
//! They are here and not in [`crate::signing`] because files, tokens, passphrases and prompts
//! belong to the command line. Every problem with a key is a fault of class usage, found before any
//! work.

use std::path::{Path, PathBuf};

use super::passphrase;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::cli::pem::{read_file, shown, wrong};
use crate::cli::world::World;
use crate::keys::pkcs11::Uri;
use crate::keys::pkcs11::module::Modules;
use crate::keys::pkcs11::uri::SCHEME;
use crate::signing::envelope::MAX_SIGNATURES;
use crate::signing::key::{self, Contents};
use crate::signing::private::SigningKey;
use crate::signing::private::signer::Signer;

/// Loads the private keys for `--sign` and `--passphrase-file`: PEM files, and keys on tokens by
/// URI. The n-th passphrase file belongs to the n-th key; for a key without one, the passphrase or
/// PIN is asked for on the terminal if it is needed.
///
/// # Errors
/// Class usage: a file that is not a private key or that others can read, a wrong passphrase, a
/// missing token, the same key twice, more passphrase files than keys.
pub fn load_signers(
    paths: &[PathBuf],
    passphrase_files: &[PathBuf],
    world: &mut World,
) -> Result<Vec<Box<dyn Signer>>, Fault> {
    if paths.len() > MAX_SIGNATURES {
        let what = differs("--sign", format_args!("at most {MAX_SIGNATURES} keys"), paths.len());
        return Err(Fault::usage(what, "a bundle cannot have more signatures"));
    }
    if passphrase_files.len() > paths.len() {
        let what =
            differs("", format_args!("at most {} --passphrase-file, one per key", paths.len()), passphrase_files.len());
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

/// Opens a key on a token. The PIN comes from the URI, else from the file `pin`, else from a
/// prompt.
fn on_token(modules: &mut Modules, uri: &Uri, pin: Option<&Path>, world: &mut World) -> Result<Box<dyn Signer>, Fault> {
    let source = uri.pin_source.as_deref().or(pin);
    let pin = |token: &str| match source {
        Some(source) => passphrase::read(source, world),
        None if world.terminal.stdin => passphrase::ask(&format!("PIN for {}: ", escape(token)), world),
        None => {
            let what = differs(format_args!("key {uri}"), "a PIN", "no terminal to ask for one");
            Err(Fault::new(Class::Usage, what).help("add pin-source= to the URI, or use --passphrase-file"))
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
