//! Places as typed: sources, selectors, destinations, bundles. Parses them into values. Opens
//! nothing, but looks at a bundle's path to tell a directory from a name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::container::{Address, is_container};
use crate::base::fault::Fault;
use crate::bundle::Name;
use crate::oci::Reference;

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A reference in a registry.
    Registry(Reference),
    /// `oci:DIR[:REF]`: an OCI layout; all of it if `reference` is `None`.
    Layout {
        /// Directory, as typed.
        dir: PathBuf,
        /// Name in the layout: a reference, a bare tag, or `@` and a digest.
        reference: Option<String>,
    },
    /// `bundle:BUNDLE[:REF]`: a bundle; all of it if `reference` is `None`.
    Bundle {
        /// The bundle, as typed.
        bundle: String,
        /// Name in the bundle's manifest: a reference, or a digest.
        reference: Option<String>,
    },
}

/// A source and what is selected there: `SOURCE[,key=value]…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Text as typed, for messages and plans.
    pub text: String,
    /// The source.
    pub source: Source,
    /// `as=`: name in the bundle.
    pub rename: Option<String>,
    /// Values of `platform=`.
    pub platforms: Vec<String>,
    /// Values of `referrers=`.
    pub referrers: Vec<String>,
}

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

/// Refuses schemes that this version does not support, and secrets in arguments. (`docker:` and
/// `dir:` are schemes of other tools, but names with a tag here.)
fn refuse_others(text: &str, subject: &str) -> Result<(), Fault> {
    const LATER: [&str; 6] = ["docker-archive:", "bundle:", "file:", "az://", "s3://", "gs://"];
    if let Some(scheme) = LATER.iter().find(|scheme| text.starts_with(**scheme)) {
        let what = format!("{subject} {scheme}…: not supported in this version");
        return Err(Fault::usage(what, "use a registry reference or oci:DIR"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        // The rest may hold a password or a token, so it is not shown.
        let secret = rest.contains(['@', '?']);
        let what = if secret {
            format!("{subject} {scheme}://…: a secret in an argument")
        } else {
            format!("{subject} {scheme}://…: expected a name without a scheme")
        };
        let help = if secret {
            "give credentials by --authfile or docker's config"
        } else {
            "leave out the scheme: HOST/REPO:TAG"
        };
        return Err(Fault::usage(what, help));
    }
    Ok(())
}

/// Returns the fault for `USER:PASSWORD@HOST…`, without repeating it.
fn login(subject: &str) -> Fault {
    let what = format!("{subject} …@…: a secret in an argument");
    Fault::usage(what, "give credentials by --authfile or docker's config")
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

impl Source {
    /// Parses a SOURCE.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        // helm writes charts as `oci://HOST/REPO:TAG`: a reference in a registry, not a layout in
        // //HOST.
        let text = text.strip_prefix("oci://").unwrap_or(text);
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, reference) = match rest.split_once(':') {
                Some((dir, reference)) => (dir, Some(reference)),
                None => (rest, None),
            };
            if dir.is_empty() || reference == Some("") {
                return Err(Fault::usage(
                    format!("source {text}: expected oci:DIR or oci:DIR:REF"),
                    "name the layout's directory",
                ));
            }
            return Ok(Self::Layout { dir: dir.into(), reference: reference.map(ToOwned::to_owned) });
        }
        if let Some(rest) = text.strip_prefix("bundle:") {
            let (bundle, reference) = match rest.split_once(':') {
                Some((bundle, reference)) => (bundle, Some(reference)),
                None => (rest, None),
            };
            if bundle.is_empty() || reference == Some("") {
                return Err(Fault::usage(
                    format!("source {text}: expected bundle:BUNDLE or bundle:BUNDLE:REF"),
                    "name the bundle: DIR/NAME, or a directory with one bundle",
                ));
            }
            return Ok(Self::Bundle { bundle: bundle.to_owned(), reference: reference.map(ToOwned::to_owned) });
        }
        refuse_others(text, "source")?;
        if text.contains(['*', '?', '[']) && !text.starts_with('[') {
            return Err(Fault::usage(
                format!("source {text}: globs are not supported in this version"),
                "name each tag",
            ));
        }
        // A digest after the @ contains no slash.
        if text.split_once('@').is_some_and(|(_, rest)| rest.contains('/')) {
            return Err(login("source"));
        }
        let reference =
            text.parse::<Reference>().map_err(|error| Fault::usage(error.to_string(), "write HOST/REPO:TAG"))?;
        Ok(Self::Registry(reference))
    }
}

impl Selector {
    /// Parses `SOURCE[,key=value]…`; `\,` is a comma inside a part.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if characters.next_if_eq(&',').is_some() => part.push(','),
                ',' => parts.push(std::mem::take(&mut part)),
                other => part.push(other),
            }
        }
        parts.push(part);
        let source = Source::parse(&parts.remove(0))?;
        let mut selector =
            Self { text: text.to_owned(), source, rename: None, platforms: Vec::new(), referrers: Vec::new() };
        for part in parts {
            match part.split_once('=') {
                Some((_, "")) | None => {
                    return Err(Fault::usage(
                        format!("selector {text}: expected key=value, found {part:?}"),
                        "write a comma in a name as \\,",
                    ));
                }
                Some(("as", value)) if selector.rename.is_none() => selector.rename = Some(value.to_owned()),
                Some(("platform", value)) => selector.platforms.push(value.to_owned()),
                Some(("referrers", value)) => selector.referrers.push(value.to_owned()),
                Some((key @ ("semver" | "regex" | "latest" | "exclude"), _)) => {
                    return Err(Fault::usage(
                        format!("selector {text}: {key}= is not supported in this version"),
                        "name each tag",
                    ));
                }
                Some((key, _)) => {
                    return Err(Fault::usage(
                        format!("selector {text}: expected as=, platform= or referrers=, found {key:?}"),
                        "see `packmule export --help`",
                    ));
                }
            }
        }
        Ok(selector)
    }
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
        if is_container(text) {
            let (address, name) = Address::parse_bundle(text)?;
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
            return Ok(Self::Stream(path.to_owned()));
        }
        if name.is_empty() || name.contains('.') {
            let help = "give DIR/NAME, DIR/NAME.json, a directory with one bundle, a stream file, or -";
            return Err(Fault::usage(format!("bundle {text:?}: expected a bundle's name"), help));
        }
        Ok(Self::Named { dir: dir.to_owned(), name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    #[test]
    fn sources() {
        let layout = |dir: &str, reference: Option<&str>| Source::Layout {
            dir: dir.into(),
            reference: reference.map(Into::into),
        };
        assert_eq!(Source::parse("oci:a/b").unwrap(), layout("a/b", None));
        assert_eq!(
            Source::parse("oci://h.example/charts/app:1").unwrap(),
            Source::parse("h.example/charts/app:1").unwrap()
        );
        let wrong = Source::parse("h.example/charts/app:1.0.0+up2").unwrap_err();
        assert!(wrong.what.ends_with("helm writes it as _: 1.0.0_up2"), "{}", wrong.what);
        assert_eq!(Source::parse("oci:a:host:5000/x:v1").unwrap(), layout("a", Some("host:5000/x:v1")));
        assert!(matches!(Source::parse("alpine").unwrap(), Source::Registry(_)));
        let bundle = |bundle: &str, reference: Option<&str>| Source::Bundle {
            bundle: bundle.into(),
            reference: reference.map(Into::into),
        };
        assert_eq!(Source::parse("bundle:usb/apps").unwrap(), bundle("usb/apps", None));
        assert_eq!(Source::parse("bundle:./a:host:5000/x:v1").unwrap(), bundle("./a", Some("host:5000/x:v1")));
        for name in ["[::1]:5000/a:t", "docker:27-dind", "dir:1", "docker:5000/x"] {
            assert!(matches!(Source::parse(name).unwrap(), Source::Registry(_)), "{name}");
        }
        for wrong in [
            "oci:",
            "oci:a:",
            "bundle:",
            "bundle:a:",
            "bundle::x",
            "docker-archive:x.tar",
            "file:x",
            "a/*",
            "A/B",
            "https://h/r:t",
            "",
        ] {
            assert_eq!(Source::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn u1_a_secret_in_an_argument_is_refused_and_not_repeated() {
        let refused = |fault: Fault| {
            assert!(fault.what.contains("secret") && !format!("{fault:?}").contains("canary"), "{fault:?}");
        };
        for secret in ["https://me:canary@host/repo", "https://host/container?sig=canary"] {
            refused(Source::parse(secret).unwrap_err());
            refused(Destination::parse(secret).unwrap_err());
            refused(Bundle::parse(secret, Path::to_owned).unwrap_err());
        }
        refused(Source::parse("me:canary@host/repo").unwrap_err());
        refused(Destination::parse("me:canary@host").unwrap_err());
        refused(Destination::parse("me:canary@host/repo").unwrap_err());
    }

    #[test]
    fn selectors() {
        let selector =
            Selector::parse("host.example/a:1,platform=linux/amd64,as=host.example/b,platform=linux/arm64").unwrap();
        assert_eq!(selector.rename.as_deref(), Some("host.example/b"));
        assert_eq!(selector.platforms, ["linux/amd64", "linux/arm64"]);
        let comma = Selector::parse("oci:a\\,b").unwrap();
        assert!(matches!(comma.source, Source::Layout { dir, .. } if dir == Path::new("a,b")));
        for wrong in ["a,b", "a,as=", "a,as=b,as=c", "a,semver=^1", "a,colour=red", ","] {
            assert_eq!(Selector::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
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
        assert!(parse("a.b").is_err() && parse("..x").is_err() && parse("s3://b/n").is_err());
    }
}
