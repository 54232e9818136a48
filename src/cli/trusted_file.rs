//! Text files that decide what this program does. They are read only if nobody but root and the
//! current user can have written them.

use std::io::Read as _;
use std::path::Path;

use super::world::World;
use crate::base::fault::{Class, Fault, escape};
use crate::system::{self, Found};

/// The kind of a file, for messages.
pub struct Kind {
    /// Noun for the file.
    pub noun: &'static str,
    /// Option that names another file.
    pub option: &'static str,
    /// Maximum size in bytes.
    pub most: u64,
}

/// Reads a plain file, not a link, that only its owner can write. The owner must be root or the
/// current user.
///
/// # Errors
/// Class usage, with the reason.
pub fn read_bytes(path: &Path, kind: &Kind, world: &World) -> Result<Vec<u8>, Fault> {
    let shown = escape(&path.to_string_lossy());
    let wrong = |found: &dyn std::fmt::Display, help: &str| {
        Fault::new(Class::Usage, format!("{} {shown}: {found}", kind.noun)).help(help)
    };
    let other = format!("name another one with {}", kind.option);
    let file = system::open_file(path).map_err(|unopened| match unopened.found {
        Found::Link => {
            let help = format!("name the file itself with {}", kind.option);
            wrong(&"expected a plain file, found a symbolic link", &help)
        }
        _ => wrong(&unopened.error, &other),
    })?;
    let metadata = file.metadata().map_err(|error| wrong(&error, &other))?;
    if !metadata.is_file() {
        return Err(wrong(&"expected a plain file, found another kind of file", &other));
    }
    // Windows has neither modes nor owners; there only the directory's access control protects the
    // file.
    if let Some(mode) = system::mode(&metadata).filter(|mode| mode & 0o022 != 0) {
        let found = format!("expected a file that only its owner can write, found mode {mode:04o}");
        return Err(wrong(&found, &format!("check that nobody has changed it, then run `chmod go-w {shown}`")));
    }
    if let Some(owner) = system::owner(&metadata).filter(|owner| *owner != 0 && *owner != world.user) {
        let found = format!("expected a file owned by root or user {}, found one owned by user {owner}", world.user);
        return Err(wrong(&found, "make your own copy"));
    }
    let mut bytes = Vec::new();
    file.take(kind.most + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error, &other))?;
    if bytes.len() as u64 > kind.most {
        return Err(wrong(&format!("expected at most {} bytes, found more", kind.most), &other));
    }
    Ok(bytes)
}

/// Like [`read_bytes`], but returns text.
///
/// # Errors
/// Class usage.
pub fn read(path: &Path, kind: &Kind, world: &World) -> Result<String, Fault> {
    String::from_utf8(read_bytes(path, kind, world)?).map_err(|_| {
        let what = format!("{} {}: expected text, found bytes that are not UTF-8", kind.noun, path.display());
        Fault::new(Class::Usage, what).help("save it as UTF-8")
    })
}
