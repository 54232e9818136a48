//! Places as typed: destinations, bundles. Parses them into values. Opens nothing, but looks at a
//! bundle's path to tell a directory from a name. Sources are in `decide/selector`.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::container::{Address, is_container};
use crate::base::fault::{Fault, differs, escape};
use crate::base::scheme::{login, refuse_others};
use crate::bundle::Name;
use crate::bundle::directory::{on_another_medium, volume_of};

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `HOST[:PORT][/PREFIX]`.
    Registry {
        /// Host, with its port if it was typed.
        host: String,
        /// Prefix of all repositories; empty if there is none.
        prefix: String,
    },
    /// `oci:DIR`.
    Layout(PathBuf),
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// `DIR/NAME` or `DIR/NAME.json`.
    Named {
        /// Directory, as typed; `.` if none was.
        dir: PathBuf,
        /// Name of the bundle.
        name: String,
    },
    /// A directory that holds one bundle.
    In(PathBuf),
    /// A stream file.
    Stream(PathBuf),
    /// A stream on standard input.
    Stdin,
    /// CONTAINER/NAME.
    Container(Address, Name),
}

/// Returns a bundle's path, which need not be UTF-8, without `bundle:`.
fn without_scheme(typed: &OsStr) -> &Path {
    if let Some(text) = typed.to_str() {
        return Path::new(text.strip_prefix("bundle:").unwrap_or(text));
    }
    #[cfg(unix)]
    if let Some(rest) = std::os::unix::ffi::OsStrExt::as_bytes(typed).strip_prefix(b"bundle:") {
        return Path::new(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(rest));
    }
    Path::new(typed)
}

impl Destination {
    /// Parses a PLACE.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let help = "write HOST, HOST/PREFIX or oci:DIR";
        let text = text.strip_prefix("oci://").unwrap_or(text);
        if let Some(dir) = text.strip_prefix("oci:") {
            if dir.is_empty() || dir.contains(':') {
                return Err(Fault::usage(format!("destination {text}: expected oci:DIR"), help));
            }
            return Ok(Self::Layout(dir.into()));
        }
        refuse_others(text, "destination")?;
        if text.contains('@') {
            return Err(login("destination"));
        }
        let (host, prefix) = text.trim_end_matches('/').split_once('/').unwrap_or((text.trim_end_matches('/'), ""));
        // Host and prefix are valid if a repository below them is.
        let below = if prefix.is_empty() { "x".to_owned() } else { format!("{prefix}/x") };
        crate::oci::Repository::new(host, &below)
            .map_err(|_| Fault::usage(format!("destination {text:?}: expected HOST[:PORT][/PREFIX]"), help))?;
        Ok(Self::Registry { host: host.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { dir, name } => write!(f, "{}", dir.join(name).display()),
            Self::In(path) | Self::Stream(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("-"),
            Self::Container(address, name) => write!(f, "{address}/{name}"),
        }
    }
}

impl Bundle {
    /// Parses a BUNDLE; `at` resolves a path as typed ([`crate::cli::world::World::path`]).
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: impl AsRef<OsStr>, at: impl Fn(&Path) -> PathBuf) -> Result<Self, Fault> {
        let typed = text.as_ref();
        if typed == "-" {
            return Ok(Self::Stdin);
        }
        let text = &*typed.to_string_lossy();
        let address = text.strip_prefix("bundle:").unwrap_or(text);
        if is_container(address) {
            let (address, name) = Address::parse_bundle(address)?;
            return Ok(Self::Container(address, name));
        }
        let path = without_scheme(typed);
        if !text.starts_with("bundle:") {
            refuse_others(text, "bundle")?;
        }
        let seen = std::fs::metadata(at(path));
        if seen.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
            return Ok(Self::In(path.to_owned()));
        }
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let bare = file.strip_suffix(".json");
        let name = bare.unwrap_or(file);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let manifest = at(dir).join(format!("{name}.json"));
        if seen.is_ok() && bare.is_none() && !manifest.exists() {
            return match volume_of(file) {
                Some(volume) => Err(is_volume(&at(dir), text, &volume)),
                None => Ok(Self::Stream(path.to_owned())),
            };
        }
        if name.is_empty() || name.contains('.') {
            let help = "give DIR/NAME, DIR/NAME.json, a directory with one bundle, a stream file, or -";
            return Err(Fault::usage(format!("bundle {text:?}: expected a bundle's name"), help));
        }
        Ok(Self::Named { dir: dir.to_owned(), name: name.to_owned() })
    }
}

/// Returns the fault for a volume in place of its bundle, in `dir`.
fn is_volume(dir: &Path, text: &str, volume: &(Name, usize)) -> Fault {
    let (name, number) = volume;
    if !dir.join(name.manifest()).exists() {
        return on_another_medium(escape(text), volume);
    }
    let what = differs(escape(text), "a bundle", format_args!("volume {number} of {name}"));
    let bundle = Path::new(text).with_file_name(name.to_string());
    Fault::usage(what, format!("name the bundle: {}", escape(&bundle.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    #[test]
    fn u1_a_secret_in_an_argument_is_refused_and_not_repeated() {
        let refused = |fault: Fault| {
            assert!(fault.what.contains("secret") && !format!("{fault:?}").contains("canary"), "{fault:?}");
        };
        for secret in ["https://me:canary@host/repo", "https://host/container?sig=canary"] {
            refused(Destination::parse(secret).unwrap_err());
            refused(Bundle::parse(secret, Path::to_owned).unwrap_err());
        }
        refused(Destination::parse("me:canary@host").unwrap_err());
        refused(Destination::parse("me:canary@host/repo").unwrap_err());
    }

    #[test]
    fn destinations() {
        let registry = |host: &str, prefix: &str| Destination::Registry { host: host.into(), prefix: prefix.into() };
        assert_eq!(Destination::parse("127.0.0.1:5000").unwrap(), registry("127.0.0.1:5000", ""));
        assert_eq!(Destination::parse("h.example/a/b/").unwrap(), registry("h.example", "a/b"));
        assert_eq!(Destination::parse("docker:5000/x").unwrap(), registry("docker:5000", "x"));
        assert_eq!(Destination::parse("oci:out").unwrap(), Destination::Layout("out".into()));
        assert_eq!(Destination::parse("oci://h.example/a").unwrap(), Destination::parse("h.example/a").unwrap());
        for wrong in ["", "/", "h.example/A", "h.example/a:tag", "oci:", "oci:a:b", "az://a/b"] {
            assert_eq!(Destination::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn bundles() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stream"), b"x").unwrap();
        let parse = |text: &str| Bundle::parse(text, |path| dir.path().join(path));
        let named = |at: &str| Bundle::Named { dir: at.into(), name: "b".into() };
        assert_eq!(parse("x/b").unwrap(), named("x"));
        assert_eq!(parse("b.json").unwrap(), named("."));
        assert_eq!(parse("bundle:b").unwrap(), named("."));
        assert_eq!(parse(".").unwrap(), Bundle::In(".".into()));
        assert_eq!(parse("stream").unwrap(), Bundle::Stream("stream".into()));
        assert_eq!(parse("-").unwrap(), Bundle::Stdin);
        #[cfg(unix)]
        for typed in [&b"\xff/b"[..], b"bundle:\xff/b"] {
            let [typed, dir] = [typed, b"\xff"].map(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes);
            let parsed = Bundle::parse(typed, Path::to_owned).unwrap();
            assert_eq!(parsed, Bundle::Named { dir: dir.into(), name: "b".into() });
        }
        std::fs::write(dir.path().join("v.0002.tar.zst"), b"x").unwrap();
        let alone = parse("v.0002.tar.zst").unwrap_err();
        assert!(alone.class == Class::Io && alone.what.contains("volume 2 of v"), "{alone}");
        std::fs::write(dir.path().join("v.json"), b"x").unwrap();
        let named = parse("v.0002.tar.zst").unwrap_err();
        assert!(named.class == Class::Usage && named.help.unwrap().ends_with(": v"));
        assert!(parse("a.b").is_err() && parse("..x").is_err() && parse("ftp://b/n").is_err());
        assert!(matches!(parse("s3://b/n").unwrap(), Bundle::Container(..)));
        assert_eq!(parse("bundle:storage:low/n").unwrap(), parse("storage:low/n").unwrap());
    }
}
