//! SECRET: the source of a password, token or passphrase, and how it is read.
//!
//! A configuration names the source of a secret and never contains the secret itself. Nothing is
//! cached: every read goes to the source again, so that changes there are seen. Values are zeroised
//! and never shown.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::program::{self, Limits, Surroundings};

/// Maximum size of a secret, in bytes.
pub const MAX: usize = 64 << 10;
/// Maximum run time of a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of a SECRET.
const KINDS: &[&str] = &["file", "env", "command", "systemd", "keyvault"];

/// Source of a secret: `{ file | env | command | systemd | keyvault = ... }`.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase", rename = "Secret")]
pub enum Source {
    /// A file with one line, which others can neither read nor change.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program and its arguments, run without a shell; the one line that it prints.
    Command(Vec<String>),
    /// A systemd credential of the unit (LoadCredential=).
    Systemd(String),
    /// The URL of a secret in Azure Key Vault, which an identity reads.
    Keyvault(String),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Named)
    }
}

struct Named;

/// Returns the error for a plain value in place of a SECRET. It does not repeat the value, which
/// may be a secret.
fn bare<E: serde::de::Error>() -> E {
    E::custom("expected a table such as { file = \"...\" }, found a value; never write the secret itself here")
}

impl<'de> Visitor<'de> for Named {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with one of file, env, command, systemd, keyvault")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Source, E> {
        Err(bare())
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Source, E> {
        Err(bare())
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Source, E> {
        Err(bare())
    }
    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Source, E> {
        Err(bare())
    }
    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Source, E> {
        Err(bare())
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Source, E> {
        Err(bare())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Err(A::Error::custom(format!("expected one of {}, found none", KINDS.join(", "))));
        };
        let source = match key.as_str() {
            "file" => Source::File(map.next_value()?),
            "env" => Source::Env(map.next_value()?),
            "command" => Source::Command(map.next_value()?),
            "systemd" => Source::Systemd(map.next_value()?),
            "keyvault" => Source::Keyvault(map.next_value()?),
            other => {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::unknown_field(other, KINDS));
            }
        };
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom(format!("expected one of {}, found more than one", KINDS.join(", "))));
        }
        Ok(source)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments of a command, and addresses, may still contain a secret.
        write!(f, "Source({self})")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "variable {name}"),
            Self::Command(words) => write!(f, "command {}", words.first().map_or("", String::as_str)),
            Self::Systemd(name) => write!(f, "systemd credential {name}"),
            // An address may contain more than a name.
            Self::Keyvault(_) => f.write_str("key vault"),
        }
    }
}

/// Reason why a secret cannot be read. Contains no part of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unreadable {
    /// Subject, expected and found.
    pub what: String,
    /// One line of advice.
    pub help: String,
}

/// A secret, given by its source. Does not contain its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Source of the secret.
    pub source: Source,
    /// Directory for relative file paths.
    pub dir: PathBuf,
}

impl Secret {
    /// Reads the bytes of the source.
    fn bytes(&self, surroundings: &Surroundings) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let wrong =
            |found: &str, help: &str| Unreadable { what: format!("{}: {found}", self.source), help: help.to_owned() };
        let bytes = match &self.source {
            Source::File(path) => private_file(&self.dir.join(path), MAX)?,
            Source::Env(name) => {
                let value = surroundings.env.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty());
                let value = value
                    .ok_or_else(|| wrong("expected a value, found it unset", "set it, or name another variable"))?;
                Zeroizing::new(value.as_encoded_bytes().to_vec())
            }
            Source::Command(words) => command(words, surroundings)
                .map_err(|found| wrong(&found, "run it by hand; it must print one line and succeed"))?,
            Source::Systemd(name) => {
                let help = "set LoadCredential= in the unit, and run packmule in that unit";
                if name.is_empty() || name.contains('/') || name.starts_with('.') {
                    return Err(wrong("expected a credential's name, found a path", help));
                }
                let dir = surroundings.env.get(std::ffi::OsStr::new("CREDENTIALS_DIRECTORY")).map(PathBuf::from);
                let dir = dir.filter(|dir| dir.is_absolute());
                let dir = dir.ok_or_else(|| wrong("expected CREDENTIALS_DIRECTORY, found it unset", help))?;
                private_file(&dir.join(name), MAX)?
            }
            // Identities, which get it, are on this floor too: the command line puts both together.
            Source::Keyvault(_) => {
                return Err(wrong(
                    "expected a source on this machine, found a vault",
                    "use file, env, command or systemd",
                ));
            }
        };
        Ok(bytes)
    }

    /// Reads a document that is kept as a secret: like [`Self::read`], but of any number of lines.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_document(&self, surroundings: &Surroundings) -> Result<Zeroizing<String>, Unreadable> {
        let bytes = self.bytes(surroundings)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.trim().is_empty() => Ok(Zeroizing::new(text.to_owned())),
            found => Err(Unreadable {
                what: format!(
                    "{}: expected text, found {}",
                    self.source,
                    if found.is_ok() { "nothing" } else { "other bytes" }
                ),
                help: "it must contain only the document, in UTF-8".to_owned(),
            }),
        }
    }

    /// Reads the secret from its source.
    ///
    /// # Errors
    /// [`Unreadable`] if the source has no secret, or if others can read or change it.
    pub fn read(&self, surroundings: &Surroundings) -> Result<Zeroizing<String>, Unreadable> {
        let wrong =
            |found: &str, help: &str| Unreadable { what: format!("{}: {found}", self.source), help: help.to_owned() };
        let bytes = self.bytes(surroundings)?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let help = "it must contain only the secret, in UTF-8";
        match std::str::from_utf8(line) {
            Ok("") => Err(wrong("expected a line, found nothing", help)),
            Ok(text) if text.contains('\n') => Err(wrong("expected one line, found more", help)),
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(wrong("expected UTF-8, found other bytes", help)),
        }
    }
}

fn command(words: &[String], surroundings: &Surroundings) -> Result<Zeroizing<Vec<u8>>, String> {
    let Some((program, words)) = words.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err("expected a program, found none".to_owned());
    };
    if program.contains('/') && !program.starts_with('/') {
        return Err("expected a name on PATH or an absolute path, found a relative one".to_owned());
    }
    let limits = Limits { output: MAX, time: PATIENCE };
    program::run::to_end(program, words, b"", surroundings, limits).map_err(|failure| failure.to_string())
}

/// Reads a file with a secret or a private key: a plain file (or a link to one) of at most `cap`
/// bytes, which others can neither read nor change.
///
/// # Errors
/// [`Unreadable`].
pub fn private_file(path: &Path, cap: usize) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let shown = path.display();
    let wrong = |found: &dyn fmt::Display| Unreadable {
        what: format!("file {shown}: {found}"),
        help: format!("give a file that you can read, with one secret of at most {cap} bytes"),
    };
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|error| wrong(&std::io::Error::from(error)))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| wrong(&error))?;
    if !metadata.is_file() {
        return Err(wrong(&"expected a plain file, found another kind"));
    }
    let mode = metadata.permissions().mode();
    // Group read is allowed: that is how a service gets access to a file of root.
    if mode & 0o027 != 0 {
        return Err(Unreadable {
            what: format!(
                "file {shown}: expected a secret that others cannot read or change, found mode {:04o}",
                mode & 0o7777
            ),
            help: format!("run `chmod 600 {shown}`; if others could read it, change the secret"),
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(cap + 1));
    file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() > cap { Err(wrong(&format!("expected at most {cap} bytes, found more"))) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(source: Source, dir: &Path, env: &[(&str, &str)]) -> Result<String, String> {
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let surroundings = Surroundings { env, dir: PathBuf::new() };
        let secret = Secret { source, dir: dir.to_owned() };
        assert!(!format!("{secret:?} {}", secret.source).contains("canary"));
        match secret.read(&surroundings) {
            Ok(value) => Ok(value.to_string()),
            Err(error) => {
                assert!(!format!("{error:?} {error}").contains("canary"), "{error}");
                Err(error.what)
            }
        }
    }

    fn write(path: &Path, text: &[u8], mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_are_read_each_time_and_only_private_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let secret = |name: &str| read(Source::File(name.into()), dir.path(), &[]);
        write(&path, b"canary-1\r\n", 0o600);
        assert_eq!(secret("s").unwrap(), "canary-1");
        fs::write(&path, "canary-2").unwrap();
        assert_eq!(secret("s").unwrap(), "canary-2");
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        assert_eq!(secret("link").unwrap(), "canary-2");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(secret("s").unwrap(), "canary-2");
        for mode in [0o644, 0o604, 0o620, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(secret("s").unwrap_err().contains(&format!("{mode:04o}")), "{mode:o}");
        }
        for (text, found) in
            [(&b""[..], "nothing"), (b"\n", "nothing"), (b"canary\ncanary", "more"), (b"canary\xff", "other bytes")]
        {
            write(&path, text, 0o600);
            assert!(secret("s").unwrap_err().contains(found), "{found}");
        }
        write(&path, &vec![b'x'; MAX + 1], 0o600);
        assert!(secret("s").unwrap_err().contains("found more"));
        assert!(secret("absent").is_err() && secret(".").is_err());
    }

    #[test]
    fn variables_commands_and_systemd() {
        let dir = tempfile::tempdir().unwrap();
        let none = Path::new("/");
        assert_eq!(read(Source::Env("X".into()), none, &[("X", "canary")]).unwrap(), "canary");
        for env in [&[][..], &[("X", "")]] {
            assert!(read(Source::Env("X".into()), none, env).unwrap_err().contains("unset"));
        }
        let command = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            read(Source::Command(words), none, &[("PATH", "/usr/bin:/bin")])
        };
        assert_eq!(command(&["echo", "canary $(x); y"]).unwrap(), "canary $(x); y");
        assert!(command(&["sh", "-c", "echo canary; echo canary >&2; exit 3"]).unwrap_err().contains('3'));
        for wrong in [&[][..], &[""], &["no-such-program-here"], &["./x"], &["true"]] {
            assert!(command(wrong).is_err(), "{wrong:?}");
        }
        write(&dir.path().join("c"), b"canary", 0o400);
        let at = dir.path().to_str().unwrap();
        let systemd = |name: &str, env: &[(&str, &str)]| read(Source::Systemd(name.into()), none, env);
        assert_eq!(systemd("c", &[("CREDENTIALS_DIRECTORY", at)]).unwrap(), "canary");
        assert!(systemd("c", &[]).is_err() && systemd("c", &[("CREDENTIALS_DIRECTORY", "rel")]).is_err());
        assert!(systemd("../c", &[("CREDENTIALS_DIRECTORY", at)]).unwrap_err().contains("found a path"));
        assert!(read(Source::Keyvault("https://canary".into()), none, &[]).unwrap_err().contains("found a vault"));
    }

    #[test]
    fn a_secret_in_place_of_its_source_is_not_repeated() {
        for wrong in
            [r#""canary""#, "7781", "-7781", "7781.5", "{}", r#"{"fil":"x"}"#, r#"{"file":"x","env":"y"}"#, "[7781]"]
        {
            let error = serde_json::from_str::<Source>(wrong).unwrap_err().to_string();
            assert!(!error.contains("canary") && !error.contains("7781"), "{error}");
        }
        let source: Source = serde_json::from_str(r#"{"command":["a","b"]}"#).unwrap();
        assert_eq!(source, Source::Command(vec!["a".into(), "b".into()]));
    }
}
