//! Passphrases and PINs: from a file, from systemd, or from a prompt on a terminal. They are never
//! shown.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::fault::{Class, Description, Fault, differs};
use crate::cli::pem::shown;
use crate::cli::world::World;

/// Maximum size of a passphrase file, in bytes.
const MAX: usize = 64 << 10;
/// Prefix of the name of a credential that systemd gives to a unit.
const SYSTEMD: &str = "systemd:";

/// Reads the first line of the file that `source` names, or for `systemd:NAME` of the unit's
/// credential (LoadCredential=).
///
/// # Errors
/// Class usage: the file cannot be read, others can read or change it, or it is empty, not UTF-8,
/// or longer than 64 KiB.
pub fn read(source: &Path, world: &World) -> Result<Zeroizing<String>, Fault> {
    let name = source.to_str().and_then(|text| text.strip_prefix(SYSTEMD));
    let (path, what) = match name {
        Some(name) => (credential(name, world)?, format!("systemd credential {}", crate::base::fault::escape(name))),
        None => (world.path(source), format!("passphrase file {}", shown(source))),
    };
    let fault = |found: &str| {
        let what = differs(&what, "a line of text", found);
        Fault::new(Class::Usage, what).help("put the passphrase on the first line of the file")
    };
    let file = File::open(path).map_err(|error| fault(&error.to_string()))?;
    let metadata = file.metadata().map_err(|error| fault(&error.to_string()))?;
    let mode = metadata.permissions().mode();
    // The group may read it, since services often get root's files that way. A pipe is private to
    // its holders.
    if metadata.is_file() && mode & 0o027 != 0 {
        let what =
            differs(&what, "a secret that others cannot read or change", format_args!("mode {:04o}", mode & 0o7777));
        let help = format!("run `chmod 600 {}`; if others could read it, change the passphrase", shown(source));
        return Err(Fault::new(Class::Usage, what).help(help));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 1));
    file.take(MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| fault(&error.to_string()))?;
    if bytes.len() > MAX {
        return Err(fault(&format!("more than {MAX} bytes")));
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| fault("bytes that are not UTF-8"))?;
    if text.is_empty() { Err(fault("none")) } else { Ok(Zeroizing::new(text.to_owned())) }
}

/// Returns the path of a systemd credential.
fn credential(name: &str, world: &World) -> Result<PathBuf, Fault> {
    let wrong = |found: Description| {
        let what = found.within(format_args!("systemd credential {}", crate::base::fault::escape(name)));
        Fault::new(Class::Usage, what)
            .help("set LoadCredential= or LoadCredentialEncrypted= in the unit, and run packmule in that unit")
    };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(wrong(differs("", "a credential's name", "a path")));
    }
    let dir = world.var("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|dir| dir.is_absolute());
    Ok(dir.ok_or_else(|| wrong(differs("", "CREDENTIALS_DIRECTORY", "it unset")))?.join(name))
}

/// Asks for a passphrase or PIN on the terminal.
///
/// # Errors
/// Class cancelled if the person cancelled; class usage without a terminal.
pub fn ask(text: &str, world: &mut World) -> Result<Zeroizing<String>, Fault> {
    world.ask_secret(text).map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return Fault::new(Class::Cancelled, "cancelled");
        }
        let what = differs("passphrase", "an answer on the terminal", error);
        Fault::new(Class::Usage, what).help("use --passphrase-file FILE")
    })
}

/// Asks for a new passphrase, twice.
///
/// # Errors
/// Those of [`ask`]; class usage if it is empty or the two differ.
pub fn choose(output: &Path, world: &mut World) -> Result<Zeroizing<String>, Fault> {
    let first = ask(&format!("passphrase for {}: ", shown(output)), world)?;
    if first.is_empty() {
        let what = differs("passphrase", "a passphrase", "an empty one");
        return Err(Fault::new(Class::Usage, what).help("type one, or use --no-passphrase"));
    }
    let second = ask("repeat the passphrase: ", world)?;
    if *first == *second {
        return Ok(first);
    }
    Err(Fault::new(Class::Usage, differs("passphrase", "the same passphrase twice", "two different ones"))
        .help("run it again"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_and_credentials_are_read_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8], mode: u32| {
            fs::write(dir.path().join(name), bytes).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let (mut world, ..) = World::for_test(&[], dir.path());
        let told = |source: &str, world: &World| {
            let fault = read(Path::new(source), world).unwrap_err();
            assert!(fault.class == Class::Usage && !format!("{fault:?}").contains("canary"), "{fault:?}");
            fault.what
        };
        write("p", b"canary one\r\nsecond\n", 0o600);
        assert_eq!(read(Path::new("p"), &world).unwrap().as_str(), "canary one");
        write("long", &vec![b'x'; MAX], 0o600);
        assert_eq!(read(Path::new("long"), &world).unwrap().len(), MAX);
        // One byte too many is refused, not cut off.
        write("long", &vec![b'x'; MAX + 1], 0o600);
        assert!(told("long", &world).contains("more than 65536"));
        for (bytes, found) in [(&b""[..], "none"), (b"\ncanary", "none"), (b"canary\xff", "UTF-8")] {
            write("p", bytes, 0o600);
            assert!(told("p", &world).contains(found));
        }
        assert!(told("absent", &world).contains("absent") && told(".", &world).contains("directory"));
        for mode in [0o644, 0o604, 0o620, 0o602] {
            write("p", b"canary", mode);
            assert!(told("p", &world).contains(&format!("{mode:04o}")));
        }
        write("p", b"canary", 0o440);
        assert!(read(Path::new("p"), &world).is_ok());
        assert!(told("systemd:p", &world).contains("unset"));
        world.env.insert("CREDENTIALS_DIRECTORY".into(), dir.path().into());
        assert_eq!(read(Path::new("systemd:p"), &world).unwrap().as_str(), "canary");
        for name in ["systemd:", "systemd:../p", "systemd:.p"] {
            assert!(told(name, &world).contains("found a path"), "{name}");
        }
        assert!(told("systemd:absent", &world).contains("absent"));
        world.env.insert("CREDENTIALS_DIRECTORY".into(), "relative".into());
        assert!(told("systemd:p", &world).contains("unset"));
    }
}
