//! The auth files of docker and podman on this machine: their locations, the helpers they name, and
//! changes that leave the rest of a file as it is.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::base::fault::escape;
use crate::cli::world::World;
use crate::program::{self, Failure, Limits, Surroundings};
use crate::registry::auth::docker_config::{self, Unanswered};
use crate::system;

/// Maximum size of an auth file, in bytes.
const MAX: u64 = 1 << 20;
/// Maximum output and run time of a helper, which may ask its user something.
const LIMITS: Limits = Limits { output: 64 << 10, time: Duration::from_secs(120) };

/// Bytes that hold passwords.
pub type Bytes = Zeroizing<Vec<u8>>;

/// Returns the files to look for logins in: only `named` (`--authfile`), or else podman's and
/// docker's files in podman's order.
pub fn places(named: Option<&Path>, world: &World) -> Vec<PathBuf> {
    if let Some(file) = named {
        return vec![world.path(file)];
    }
    let under = |variable: &str, rest: &str| {
        let dir = world.var(variable)?;
        Some(world.path(Path::new(dir)).join(rest))
    };
    let own = world.var("REGISTRY_AUTH_FILE");
    [
        own.map(|file| world.path(Path::new(file))),
        under("XDG_RUNTIME_DIR", "containers/auth.json"),
        world.settings().map(|dir| dir.join("containers/auth.json")),
        docker(world),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the path of docker's own file.
pub fn docker(world: &World) -> Option<PathBuf> {
    let dir = |variable: &str| world.var(variable).map(|dir| world.path(Path::new(dir)));
    dir("DOCKER_CONFIG").or_else(|| Some(dir("HOME")?.join(".docker"))).map(|dir| dir.join("config.json"))
}

/// Reads an auth file; `None` if there is none. Links are followed because many users keep their
/// auth file behind one.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Option<Bytes>, String> {
    let wrong = |error: &dyn fmt::Display| format!("auth file {}: {error}", path.display());
    let file = match system::open_followed(path) {
        Ok(file) => file,
        // /dev/null is a common way to say that there is no file.
        Err(_) if path == Path::new("/dev/null") => return Ok(None),
        Err(unopened) => match unopened.error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(None),
            _ => return Err(wrong(&unopened.error)),
        },
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > MAX {
        Err(wrong(&format!("expected at most {MAX} bytes, found more")))
    } else {
        Ok(Some(bytes))
    }
}

/// Runs the credential helper NAME with the verb `get`, `store` or `erase`. Returns `None` if it
/// says that it has no credentials.
///
/// # Errors
/// The helper is missing or fails; with its message, unless that may hold an answer.
pub fn ask(name: &str, verb: &str, input: &[u8], surroundings: &Surroundings) -> Result<Option<Bytes>, Unanswered> {
    let shown = format!("credential helper docker-credential-{}", escape(name));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(plain) || name.starts_with('.') {
        return Err(Unanswered::Failed(format!("{shown}: expected a name of letters, digits, - _ and .")));
    }
    let program = format!("docker-credential-{name}");
    match program::run::to_end(&program, &[verb.to_owned()], input, surroundings, LIMITS) {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Absent) => Err(Unanswered::Missing(format!("{shown}: expected a program on PATH, found none"))),
        Err(Failure::Failed { status, output }) => {
            let said = String::from_utf8_lossy(&output.0);
            let line = said.lines().next().unwrap_or_default().trim();
            // Message of the helpers of the docker project.
            if line.contains("credentials not found") {
                return Ok(None);
            }
            // `get` returns the secret and `store` receives it; output that may repeat it is not
            // shown.
            let echo = verb == "store" || line.is_empty() || said.contains('{');
            let line = if echo { status.to_string() } else { escape(line) };
            Err(Unanswered::Failed(format!("{shown} {verb}: {line}")))
        }
        Err(failure) => Err(Unanswered::Failed(format!("{shown} {verb}: {failure}"))),
    }
}

/// Members of an object, in order, each value as in the file.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for (_, value) in self.0.drain(..) {
            let text: Box<str> = value.into();
            drop(Zeroizing::new(String::from(text)));
        }
    }
}

impl Members {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let unmarked = docker_config::unmarked(text);
        let text = unmarked.as_ref().map_or(text, |text| text.as_slice());
        if text.iter().all(u8::is_ascii_whitespace) || text == b"null" {
            return Ok(Self(Vec::new()));
        }
        // The parser's message may repeat its input.
        serde_json::from_slice(text).map_err(|error| {
            format!("expected a JSON object, found something else at line {}, column {}", error.line(), error.column())
        })
    }

    fn text(&self, depth: usize) -> Result<Zeroizing<String>, String> {
        let mut text = Zeroizing::new(String::from("{"));
        for (index, (key, value)) in self.0.iter().enumerate() {
            let key = serde_json::to_string(key).map_err(|error| error.to_string())?;
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.push_str(&"\t".repeat(depth + 1));
            text.push_str(&key);
            text.push_str(": ");
            text.push_str(value.get());
        }
        if !self.0.is_empty() {
            text.push('\n');
            text.push_str(&"\t".repeat(depth));
        }
        text.push('}');
        Ok(text)
    }

    /// Returns the file with `auths` changed by `change`; `None` if nothing changed.
    fn with_auths(mut self, change: impl FnOnce(&mut Self) -> Result<bool, String>) -> Result<Option<Bytes>, String> {
        let at = self.0.iter().position(|(key, _)| key == "auths");
        let mut auths = match at {
            Some(at) => Self::parse(self.0[at].1.get().as_bytes())?,
            None => Self(Vec::new()),
        };
        if !change(&mut auths)? {
            return Ok(None);
        }
        let raw = RawValue::from_string(auths.text(1)?.to_string()).map_err(|error| error.to_string())?;
        match at {
            Some(at) => self.0[at].1 = raw,
            None => self.0.insert(0, ("auths".to_owned(), raw)),
        }
        let mut text = self.text(0)?;
        text.push('\n');
        Ok(Some(Zeroizing::new(text.as_bytes().to_vec())))
    }
}

/// Known keys of files of docker and podman; an object with none of them belongs to another
/// program.
const KEYS: [&str; 24] = [
    "HttpHeaders",
    "aliases",
    "auths",
    "cliPluginsExtraDirs",
    "configFormat",
    "credHelpers",
    "credsStore",
    "currentContext",
    "detachKeys",
    "experimental",
    "features",
    "imagesFormat",
    "networksFormat",
    "nodesFormat",
    "plugins",
    "pluginsFormat",
    "proxies",
    "psFormat",
    "pruneFilters",
    "secretFormat",
    "serviceInspectFormat",
    "servicesFormat",
    "statsFormat",
    "volumesFormat",
];

/// Returns the file with a login for `host` added or replaced, as docker writes it.
///
/// # Errors
/// A text that says what is wrong with the file, without secrets.
pub fn with_login(file: &[u8], host: &str, username: &str, password: &str) -> Result<Bytes, String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let auth = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
    let entry = Zeroizing::new(format!("{{\n\t\t\t\"auth\": \"{}\"\n\t\t}}", *auth));
    let entry = RawValue::from_string(entry.to_string()).map_err(|error| error.to_string())?;
    let key = docker_config::key(host);
    let members = Members::parse(file)?;
    if !members.0.is_empty() && !members.0.iter().any(|(key, _)| KEYS.contains(&key.as_str())) {
        return Err("expected an auth file of docker or podman, found another JSON object".to_owned());
    }
    let changed = members.with_auths(|auths| {
        match auths.0.iter_mut().find(|(own, _)| own == key) {
            Some((_, value)) => *value = entry,
            None => auths.0.push((key.to_owned(), entry)),
        }
        Ok(true)
    })?;
    Ok(changed.unwrap_or_default())
}

/// Returns the file without the logins of `host`; those of its namespaces stay. `None` if it has
/// none.
///
/// # Errors
/// A text that says what is wrong with the file, without secrets.
pub fn without(file: &[u8], host: &str) -> Result<Option<Bytes>, String> {
    let keys = docker_config::keys(host);
    Members::parse(file)?.with_auths(|auths| {
        let before = auths.0.len();
        auths.0.retain(|(key, _)| !docker_config::means(key, &keys));
        Ok(auths.0.len() < before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "{\n  \"HttpHeaders\": {\"User-Agent\":\"x\"},\n  \"auths\": {\"a.example\": {\"auth\":\"YTpi\", \"n\": 1.50}, \"https://b.example/v1/\":{}},\n  \"big\": 123456789012345678901234567890,\n  \"z\": [1,  2]\n}";

    fn text(bytes: &Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_login_changes_nothing_else() {
        let with = with_login(FILE.as_bytes(), "c.example:5000", "mule", "p:w").unwrap();
        let shown = text(&with);
        for kept in
            [r#"{"User-Agent":"x"}"#, r#"{"auth":"YTpi", "n": 1.50}"#, "123456789012345678901234567890", "[1,  2]"]
        {
            assert!(shown.contains(kept), "{shown}");
        }
        let order: Vec<_> =
            ["HttpHeaders", "auths", "big", "\"z\""].iter().map(|key| shown.find(key).unwrap()).collect();
        assert!(order.is_sorted());
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(value["auths"]["c.example:5000"]["auth"], "bXVsZTpwOnc=");
        let again = with_login(&with, "c.example:5000", "mule", "new").unwrap();
        assert_eq!(text(&again).matches("c.example").count(), 1);
        // Removed again: the values are as before.
        let off = without(&with, "c.example:5000").unwrap().unwrap();
        let (off, before): (serde_json::Value, serde_json::Value) =
            (serde_json::from_slice(&off).unwrap(), serde_json::from_str(FILE).unwrap());
        assert_eq!(off, before);
    }

    #[test]
    fn a_new_file_and_docker_hub() {
        let hub = with_login(b"", "docker.io", "a", "b").unwrap();
        assert_eq!(
            text(&hub),
            "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}\n"
        );
        assert!(!text(&without(&hub, "docker.io").unwrap().unwrap()).contains("docker"));
        let old = without(FILE.as_bytes(), "b.example").unwrap().unwrap();
        assert!(!text(&old).contains("b.example") && text(&old).contains("a.example"));
        let spaces = r#"{"auths":{"a.example/ns":{"auth":"YTpi"}}}"#;
        assert!(without(spaces.as_bytes(), "a.example").unwrap().is_none());
        assert!(without(b"{\"auths\":null}", "a.example").unwrap().is_none());
        assert!(with_login(br#"{"absent":[],"format":"packmule.bundle.v1"}"#, "a.example", "u", "canary").is_err());
        for wrong in [&b"["[..], b"{\"auths\":7781}", b"\"canary\"", b"{} x"] {
            let error = with_login(wrong, "a.example", "u", "canary").unwrap_err();
            assert!(!error.contains("canary") && !error.contains("7781"), "{error}");
            assert!(without(wrong, "a.example").is_err());
        }
    }

    #[test]
    fn files_in_podmans_order() {
        let dir = tempfile::tempdir().unwrap();
        let (mut world, ..) = World::for_test(&[], dir.path());
        assert!(places(None, &world).is_empty());
        for (name, value) in [("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/u"), ("REGISTRY_AUTH_FILE", "/r.json")] {
            world.env.insert(name.into(), value.into());
        }
        let shown = |world: &World| -> Vec<String> {
            places(None, world).iter().map(|path| path.display().to_string()).collect()
        };
        let runtime = "/run/u/containers/auth.json";
        assert_eq!(shown(&world), ["/r.json", runtime, "/h/.config/containers/auth.json", "/h/.docker/config.json"]);
        world.env.insert("XDG_CONFIG_HOME".into(), "/c".into());
        world.env.insert("DOCKER_CONFIG".into(), "/d".into());
        assert_eq!(shown(&world), ["/r.json", runtime, "/c/containers/auth.json", "/d/config.json"]);
        assert_eq!(places(Some(Path::new("x")), &world), [dir.path().join("x")]);
    }

    #[test]
    fn a_helpers_name_is_no_path() {
        for name in ["../x", "a/b", ".x", "a b", "a;b"] {
            let refused = ask(name, "get", b"", &Surroundings::default()).unwrap_err();
            assert!(String::from(refused).contains("expected a name"), "{name}");
        }
        let absent = String::from(ask("no-such-helper", "get", b"", &Surroundings::default()).unwrap_err());
        assert!(absent.contains("docker-credential-no-such-helper") && absent.contains("PATH"), "{absent}");
    }
}
