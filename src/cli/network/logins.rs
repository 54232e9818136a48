//! Finds the login for a repository: first in the configuration, then in auth files and helpers.
//!
//! A source is read when a login is needed, and again if the same login is requested a second time,
//! since the registry has then refused it. No text here holds a secret.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::auth_file::{self, Bytes};
use super::config::{self, Config};
use super::sources::Sources;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow};
use crate::program::Surroundings;
use crate::registry::Credential;
use crate::registry::auth::docker_config::{self, Helpers, Unanswered};

/// All sources of logins of a run.
pub struct Logins {
    config: Arc<Config>,
    // Name of the credential given on the command line, for every host.
    chosen: Option<String>,
    files: Vec<PathBuf>,
    surroundings: Surroundings,
    sources: Sources,
    flow: Flow,
    kept: Mutex<Kept>,
}

/// Makes the error of an auth file or a helper.
fn failed(what: String) -> Error {
    Error::new(Kind::Denied, what)
}

/// Logins found so far, by host and round. A new round begins when a repository asks again.
#[derive(Default)]
struct Kept {
    rounds: HashMap<String, u64>,
    asked: HashMap<(String, String), u64>,
    helpers: HashMap<(String, String), (u64, Option<Bytes>)>,
    credentials: HashMap<(String, String), (u64, Credential)>,
    told: HashSet<String>,
}

impl Logins {
    /// Makes the sources; reads nothing yet.
    pub fn new(
        config: Arc<Config>,
        chosen: Option<String>,
        files: Vec<PathBuf>,
        surroundings: Surroundings,
        sources: Sources,
        flow: Flow,
    ) -> Self {
        Self { config, chosen, files, surroundings, sources, flow, kept: Mutex::default() }
    }

    /// Tells with `-v` where a login comes from, once for each text.
    fn tell(&self, text: String) {
        if self.kept().told.insert(text.clone()) {
            self.flow.event(Event::Detail(text));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the login for a repository (`path` empty: for the host); `None` if there is none.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn find(&self, host: &str, path: &str) -> Result<Option<Credential>, Error> {
        let round = self.round(host, path);
        let chosen = match &self.chosen {
            Some(name) => {
                let credential = self.config.credentials.get_key_value(name);
                let fits = |(_, credential): &(&String, &config::Credential)| {
                    credential.host.as_deref().is_none_or(|own| own == host)
                };
                credential.filter(fits).map(|(name, credential)| (name.as_str(), credential))
            }
            None => None,
        };
        let configured = match chosen {
            Some(found) => Some(found),
            None => self.config.credential_for(host, path).map_err(failed)?,
        };
        if let Some((name, credential)) = configured {
            let key = (host.to_owned(), name.to_owned());
            if let Some((_, known)) = self.kept().credentials.get(&key).filter(|(when, _)| *when == round) {
                return Ok(Some(known.clone()));
            }
            let read = self
                .sources
                .login(name, credential, round > 0)
                .map_err(|error| Error { what: format!("credential {name}: {}", error.what), ..error })?;
            self.kept().credentials.insert(key, (round, read.clone()));
            self.tell(format!("login for {host}: credential {name}, {}", credential.at));
            return Ok(Some(read));
        }
        for file in &self.files {
            let Some(bytes) = auth_file::read(file).map_err(failed)? else { continue };
            self.warn_of_form(file, &bytes);
            let found = docker_config::find(&bytes, host, path, &Round { logins: self, round });
            match found.map_err(|error| failed(format!("{}: {error}", file.display())))? {
                None => {}
                found => {
                    self.tell(format!("login for {host}: {}", file.display()));
                    return Ok(found);
                }
            }
        }
        self.tell(format!("login for {host}: none"));
        Ok(None)
    }

    fn round(&self, host: &str, path: &str) -> u64 {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let round = kept.rounds.entry(host.to_owned()).or_default();
        let asked = (host.to_owned(), path.to_owned());
        if kept.asked.get(&asked) == Some(round) {
            *round += 1;
        }
        kept.asked.insert(asked, *round);
        *round
    }

    /// Warns of a file that holds nothing, or that begins with a mark that others do not accept.
    fn warn_of_form(&self, file: &Path, bytes: &[u8]) {
        let text = docker_config::unmarked(bytes);
        let is_empty = text.as_ref().map_or(bytes, |text| text.as_slice()).iter().all(u8::is_ascii_whitespace);
        // The usual way to say that there is no file.
        if is_empty && file != Path::new("/dev/null") {
            self.warn(format!("auth file {}: empty, so it has no login", file.display()));
        } else if text.is_some() {
            self.warn(format!("auth file {}: begins with a byte order mark; read without it", file.display()));
        }
    }

    /// Emits a warning, once for each text.
    fn warn(&self, text: String) {
        if self.kept().told.insert(text.clone()) {
            self.flow.warn(text);
        }
    }

    fn ask(&self, round: u64, helper: &str, server: &str) -> Result<Option<Bytes>, Unanswered> {
        let key = (helper.to_owned(), server.to_owned());
        if let Some((_, known)) = self.kept().helpers.get(&key).filter(|(when, _)| *when == round) {
            return Ok(known.clone());
        }
        let answer = auth_file::ask(helper, "get", server.as_bytes(), &self.surroundings)?;
        self.kept().helpers.insert(key, (round, answer.clone()));
        Ok(answer)
    }
}

/// The helpers of this machine, in one round.
struct Round<'a> {
    logins: &'a Logins,
    round: u64,
}

impl Helpers for Round<'_> {
    fn ask(&self, helper: &str, server: &str) -> Result<Option<Bytes>, Unanswered> {
        self.logins.ask(self.round, helper, server)
    }

    fn warn(&self, text: String) {
        self.logins.warn(text);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;
    use crate::flow::FixedClock;

    /// Writes a test program; another process writes it so that this one never holds it open.
    fn script(path: &Path, text: &str) {
        let source = path.with_extension("text");
        fs::write(&source, text).unwrap();
        let made = Command::new("install").args(["-m", "755"]).arg(&source).arg(path).status().unwrap();
        assert!(made.success());
    }

    fn logins(dir: &Path, config: &str, chosen: Option<&str>, files: &[&str]) -> Logins {
        let mut read = Config::default();
        read.add(&dir.join("packmule.toml"), config, None).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.display());
        let env = [("PATH".into(), path.into()), ("DIR".into(), dir.into())].into();
        let surroundings = Surroundings { env, dir: PathBuf::new() };
        let files = files.iter().map(|file| dir.join(file)).collect();
        let flow = Flow::new(Arc::new(crate::flow::Silent), Arc::new(FixedClock::default()), 1, 1);
        let (config, settings) = (Arc::new(read), crate::network::settings::ClientSettings::default());
        let sources = Sources::new(Arc::clone(&config), surroundings.clone(), settings, flow.clone());
        Logins::new(config, chosen.map(ToOwned::to_owned), files, surroundings, sources, flow)
    }

    fn shown(found: Result<Option<Credential>, Error>) -> String {
        match found {
            Ok(Some(Credential::Password { username, password })) => format!("{username}:{}", *password),
            Ok(Some(Credential::Identity(token))) => format!("token:{}", *token),
            Ok(Some(Credential::Entra(token))) => format!("entra:{}", *token),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("error: {}", error.what),
        }
    }

    #[test]
    fn the_configuration_goes_before_files_and_a_named_credential_before_all() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p"), "from-file").unwrap();
        fs::set_permissions(dir.path().join("p"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(
            dir.path().join("one.json"),
            r#"{"auths":{"a.example":{"auth":"YTpi"},"b.example":{"auth":"Yzpk"}}}"#,
        )
        .unwrap();
        fs::write(
            dir.path().join("two.json"),
            r#"{"auths":{"b.example":{"auth":"YTpi"},"c.example":{"auth":"ZTpm"}}}"#,
        )
        .unwrap();
        let config = r#"
            [registry]
            "a.example" = { credential = "one" }
            "a.example/ns" = { credential = "two" }
            [credential]
            one = { username = "u", password = { file = "p" } }
            two = { token = { file = "p" } }
            three = { host = "b.example", username = "x", password = { file = "p" } }
            id = { identity = "workload" }
        "#;
        let files = ["absent.json", "one.json", "two.json"];
        let all = logins(dir.path(), &config.replace("three = { host = \"b.example\",", "three = {"), None, &files);
        for (host, path, expected) in [
            ("a.example", "x", "u:from-file"),
            ("a.example", "ns/x", "token:from-file"),
            ("b.example", "x", "c:d"),
            ("c.example", "x", "e:f"),
            ("d.example", "x", "none"),
        ] {
            assert_eq!(shown(all.find(host, path)), expected, "{host}/{path}");
        }
        // A credential for one host does not apply to another.
        let named = logins(dir.path(), config, Some("three"), &files);
        assert_eq!(shown(named.find("b.example", "x")), "x:from-file");
        assert_eq!(shown(named.find("c.example", "x")), "e:f");
        let named = logins(dir.path(), config, Some("id"), &files);
        assert!(shown(named.find("c.example", "x")).contains("AZURE_TENANT_ID"));
        fs::set_permissions(dir.path().join("p"), fs::Permissions::from_mode(0o644)).unwrap();
        let open = shown(logins(dir.path(), config, None, &files).find("a.example", "x"));
        assert!(open.starts_with("error: credential one: file ") && open.contains("0644"), "{open}");
    }

    #[test]
    fn a_helper_is_run_once_and_again_after_a_refusal() {
        let dir = tempfile::tempdir().unwrap();
        script(
            &dir.path().join("docker-credential-own"),
            "#!/bin/sh\nread -r server\necho \"$1 $server\" >> \"$DIR/calls\"\n\
             case $server in\n\
             a.example) echo \"{\\\"Username\\\":\\\"u\\\",\\\"Secret\\\":\\\"s$(wc -l < \"$DIR/calls\")\\\"}\" ;;\n\
             b.example) echo 'credentials not found in native keychain'; exit 1 ;;\n\
             *) echo 'the chain is locked'; exit 1 ;;\nesac\n",
        );
        fs::write(
            dir.path().join("config.json"),
            r#"{"credsStore":"own","credHelpers":{"d.example":"no-such-one"},"auths":{"b.example":{"auth":"YTpi"}}}"#,
        )
        .unwrap();
        let logins = logins(dir.path(), "", None, &["config.json"]);
        for path in ["x", "y", "z"] {
            assert_eq!(shown(logins.find("a.example", path)), "u:s1");
        }
        // The same repository asks again, so its login was refused. The others reuse the new
        // answer.
        for path in ["y", "x", "z"] {
            assert_eq!(shown(logins.find("a.example", path)), "u:s2", "{path}");
        }
        assert_eq!(fs::read_to_string(dir.path().join("calls")).unwrap(), "get a.example\nget a.example\n");
        assert_eq!(shown(logins.find("b.example", "x")), "a:b");
        let locked = shown(logins.find("c.example", "x"));
        assert!(locked.contains("docker-credential-own") && locked.contains("the chain is locked"), "{locked}");
        let absent = shown(logins.find("d.example", "x"));
        assert!(absent.contains("docker-credential-no-such-one") && absent.contains("config.json"), "{absent}");
    }

    #[test]
    fn a_command_is_run_once_and_again_after_a_refusal() {
        let dir = tempfile::tempdir().unwrap();
        script(&dir.path().join("give"), "#!/bin/sh\necho x >> \"$DIR/calls\"\nwc -l < \"$DIR/calls\"\n");
        let config = "[credential.c]\nhost = \"a.example\"\nusername = \"u\"\npassword = { command = [\"give\"] }";
        let logins = logins(dir.path(), config, None, &[]);
        for (path, expected) in [("x", "u:1"), ("y", "u:1"), ("x", "u:2"), ("y", "u:2"), ("y", "u:3")] {
            assert_eq!(shown(logins.find("a.example", path)), expected, "{path}");
        }
    }
}
