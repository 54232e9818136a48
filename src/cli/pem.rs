//! Key files as arguments of commands: paths, modes and sizes, which [`crate::signing`] does not
//! know.
//!
//! Every problem with a key is a fault of class usage, found before any work. Writes nothing.

use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::trusted_file;
use super::world::World;
use crate::base::fault::{Class, Fault, differs};
use crate::signing::PublicKey;
use crate::signing::key::{self, Contents, KeyError, MAX_FILE};
use crate::system;

/// Reads a public key from a file.
///
/// # Errors
/// Class usage.
pub fn read_public(path: &Path, world: &World) -> Result<PublicKey, Fault> {
    let bytes = read_file(path, world)?;
    PublicKey::from_pem(&bytes).map_err(|error| wrong(path, &error))
}

/// Reads a key file; refuses a private key that others can read or change. Its group may read it if it
/// can be [trusted](trusted_file).
pub(super) fn read_file(path: &Path, world: &World) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let unreadable = |error: io::Error| {
        let what = format!("key {}: {error}", shown(path));
        Fault::new(Class::Usage, what).help("name a PEM file that you can read")
    };
    let file = system::open_followed(&world.path(path)).map_err(|unopened| unreadable(unopened.error))?;
    let mode = system::mode(&file.metadata().map_err(unreadable)?);
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let private = matches!(key::contents(&bytes), Ok(Contents::Private | Contents::Encrypted));
    // A key of Kubernetes, or of a service: readable by its group, and owned by root or the caller.
    let is_shared = |mode: u32| mode & 0o077 == 0o040;
    if private && mode.is_some_and(is_shared) {
        let kind = trusted_file::Kind { noun: "key", option: "--sign", most: MAX_FILE as u64 };
        return trusted_file::read_bytes(&world.path(path), &kind, world).map(Zeroizing::new);
    }
    if let Some(mode) = mode.filter(|mode| private && mode & 0o077 != 0) {
        let path = shown(path);
        let what = differs(
            format_args!("key {path}"),
            "a private key that only its owner, or with 0440 its group, can read",
            format_args!("mode {mode:04o}"),
        );
        return Err(Fault::new(Class::Usage, what)
            .help(format!("run `chmod 600 {path}`; if others could read it, make a new key")));
    }
    Ok(bytes)
}

pub(super) fn wrong(path: &Path, error: &KeyError) -> Fault {
    Fault::new(Class::Usage, format!("key {}: {error}", shown(path))).help(error.help())
}

pub(super) fn shown(path: &Path) -> String {
    crate::base::fault::escape(&path.to_string_lossy())
}
