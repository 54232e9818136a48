//! Private keys given to commands: PEM files and keys on tokens.
//!
//! They are here and not in [`crate::signing`] because files, tokens, passphrases and prompts
//! belong to the command line. Every problem with a key is a fault of class usage, found before any
//! work.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

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
    let of = |index: usize| passphrase_files.get(index).map_or(Given::Ask, |file| Given::File(file));
    load(paths, of, world)
}

/// Loads the private keys that a table of the configuration names, all with one passphrase or PIN.
/// Without one, it is asked for on the terminal if it is needed.
///
/// # Errors
/// Class usage, as for [`load_signers`].
pub fn load_configured(
    paths: &[PathBuf],
    passphrase: Option<&str>,
    world: &mut World,
) -> Result<Vec<Box<dyn Signer>>, Fault> {
    let can_ask = world.terminal.stdin;
    let of = |_| match passphrase {
        Some(text) => Given::Text(text),
        None if can_ask => Given::Ask,
        None => Given::Nothing,
    };
    load(paths, of, world)
}

/// Where the passphrase or PIN of a key comes from.
#[derive(Clone, Copy)]
enum Given<'a> {
    /// A file, or a credential of systemd.
    File(&'a Path),
    /// The passphrase itself.
    Text(&'a str),
    /// The terminal, if there is one.
    Ask,
    /// Nowhere: the table of the configuration names none.
    Nothing,
}

fn load<'a>(
    paths: &[PathBuf],
    of: impl Fn(usize) -> Given<'a>,
    world: &mut World,
) -> Result<Vec<Box<dyn Signer>>, Fault> {
    let mut modules = Modules::default();
    let mut keys: Vec<Box<dyn Signer>> = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let key: Box<dyn Signer> = match path.to_str().filter(|text| text.starts_with(SCHEME)) {
            Some(uri) => on_token(&mut modules, &Uri::parse(uri)?, of(index), world)?,
            None => Box::new(read_private(path, of(index), world)?),
        };
        if keys.iter().any(|other| other.public() == key.public()) {
            let what = format!("key {}: given twice", key.public().id());
            return Err(Fault::new(Class::Usage, what).help("give each key once"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Opens a key on a token. The PIN comes from the URI, else from `given`.
fn on_token(modules: &mut Modules, uri: &Uri, given: Given<'_>, world: &mut World) -> Result<Box<dyn Signer>, Fault> {
    let given = uri.pin_source.as_deref().map_or(given, Given::File);
    let pin = |token: &str| match given {
        Given::File(source) => passphrase::read(source, world),
        Given::Text(text) => Ok(Zeroizing::new(text.to_owned())),
        Given::Ask if world.terminal.stdin => passphrase::ask(&format!("PIN for {}: ", escape(token)), world),
        Given::Ask => {
            let what = differs(format_args!("key {uri}"), "a PIN", "no terminal to ask for one");
            Err(Fault::new(Class::Usage, what).help("add pin-source= to the URI, or use --passphrase-file"))
        }
        Given::Nothing => {
            let what = differs(format_args!("key {uri}"), "a PIN", "none");
            Err(Fault::new(Class::Usage, what).help("add pin-source= to the URI, or set passphrase in the table"))
        }
    };
    Ok(Box::new(modules.open(uri, pin)?))
}

fn read_private(path: &Path, given: Given<'_>, world: &mut World) -> Result<SigningKey, Fault> {
    let bytes = read_file(path, world)?;
    let encrypted = key::contents(&bytes) == Ok(Contents::Encrypted);
    let passphrase = match given {
        Given::File(file) if encrypted => Some(passphrase::read(file, world)?),
        Given::Text(text) if encrypted => Some(Zeroizing::new(text.to_owned())),
        Given::Ask if encrypted && world.terminal.stdin => {
            Some(passphrase::ask(&format!("passphrase for {}: ", shown(path)), world)?)
        }
        Given::Nothing if encrypted => {
            let what = differs(format_args!("key {}", shown(path)), "its passphrase", "none");
            return Err(Fault::new(Class::Usage, what).help("set passphrase in the table that names the key"));
        }
        _ => None,
    };
    SigningKey::from_pem(&bytes, passphrase.as_ref().map(|text| text.as_bytes())).map_err(|error| wrong(path, &error))
}
