//! Text files that decide what this program does: read only where nobody but root and we can have written them.

use std::io::Read as _;
use std::path::Path;

use super::world::World;
use crate::base::fault::{Class, Fault, escape};
use crate::system::{self, Found};

/// The kind of a file, for messages.
pub struct Kind {
    /// The noun for it.
    pub noun: &'static str,
    /// The option that names another one.
    pub option: &'static str,
    /// The most bytes.
    pub most: u64,
}

/// The bytes of a plain file, not a link, that only its owner can write, who is root or we.
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
        return Err(wrong(&"expected a plain file, found another kind", &other));
    }
    // Windows has neither: there the directory's access control is all that keeps others from it.
    if let Some(mode) = system::mode(&metadata).filter(|mode| mode & 0o022 != 0) {
        let found = format!("expected a file that only its owner can write, found mode {mode:04o}");
        return Err(wrong(&found, &format!("look whether it is still yours, then run `chmod go-w {shown}`")));
    }
    if let Some(owner) = system::owner(&metadata).filter(|owner| *owner != 0 && *owner != world.user) {
        let found = format!("expected a file of root's or of user {}, found user {owner}'s", world.user);
        return Err(wrong(&found, "make a copy of your own"));
    }
    let mut bytes = Vec::new();
    file.take(kind.most + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error, &other))?;
    if bytes.len() as u64 > kind.most {
        return Err(wrong(&format!("expected at most {} bytes, found more", kind.most), &other));
    }
    Ok(bytes)
}

/// Reads such a file as text.
///
/// # Errors
/// Class usage.
pub fn read(path: &Path, kind: &Kind, world: &World) -> Result<String, Fault> {
    String::from_utf8(read_bytes(path, kind, world)?).map_err(|_| {
        let what = format!("{} {}: expected text, found bytes that are not UTF-8", kind.noun, path.display());
        Fault::new(Class::Usage, what).help("save it as UTF-8")
    })
}
