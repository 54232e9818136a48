//! Text files that decide what this program does. They are read only if nobody but root and the
//! current user can have written them.

use std::io::Read as _;
use std::path::Path;

use super::world::World;
use crate::base::fault::{Class, Description, Fault, differs, escape};
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
    let wrong = |found: Description, help: &str| {
        Fault::new(Class::Usage, found.within(format_args!("{} {shown}", kind.noun))).help(help)
    };
    let other = format!("name another one with {}", kind.option);
    let file = system::open_file(path).map_err(|unopened| match unopened.found {
        Found::Link => {
            let help = format!("name the file itself with {}", kind.option);
            wrong(differs("", "a plain file", "a symbolic link"), &help)
        }
        _ => wrong(unopened.error.to_string().into(), &other),
    })?;
    let metadata = file.metadata().map_err(|error| wrong(error.to_string().into(), &other))?;
    if !metadata.is_file() {
        return Err(wrong(differs("", "a plain file", "another kind of file"), &other));
    }
    // Windows has neither modes nor owners; there only the directory's access control protects the
    // file.
    if let Some(mode) = system::mode(&metadata).filter(|mode| mode & 0o022 != 0) {
        let found = differs("", "a file that only its owner can write", format_args!("mode {mode:04o}"));
        return Err(wrong(found, &format!("check that nobody has changed it, then run `chmod go-w {shown}`")));
    }
    if let Some(owner) = system::owner(&metadata).filter(|owner| *owner != 0 && *owner != world.user) {
        let found = differs(
            "",
            format_args!("a file owned by root or user {}", world.user),
            format_args!("one owned by user {owner}"),
        );
        return Err(wrong(found, "make your own copy"));
    }
    let mut bytes = Vec::new();
    file.take(kind.most + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string().into(), &other))?;
    if bytes.len() as u64 > kind.most {
        return Err(wrong(differs("", format_args!("at most {} bytes", kind.most), "more"), &other));
    }
    Ok(bytes)
}

/// Like [`read_bytes`], but returns text.
///
/// # Errors
/// Class usage.
pub fn read(path: &Path, kind: &Kind, world: &World) -> Result<String, Fault> {
    String::from_utf8(read_bytes(path, kind, world)?).map_err(|_| {
        let what = differs(format_args!("{} {}", kind.noun, path.display()), "text", "bytes that are not UTF-8");
        Fault::new(Class::Usage, what).help("save it as UTF-8")
    })
}
