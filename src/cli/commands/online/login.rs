//! `login`: tries a registry's login, then saves it where docker and podman find it too.
//!
//! The password comes from a prompt or standard input, never from an argument, and is never shown.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use crate::base::fault::{Class, Fault, differs, escape};
use crate::cli::Session;
use crate::cli::network::Network;
use crate::cli::network::{auth_file, registries, replace};
use crate::cli::output::Outcome;
use crate::oci::Repository;
use crate::registry::Credential;
use crate::registry::auth::docker_config;

/// Maximum length of a password, in bytes.
const MAX: usize = 64 << 10;

/// `login HOST -u USER [--password-stdin]`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Registry, HOST[:PORT], as in references
    host: String,
    /// User name
    #[arg(short, long, value_name = "USER")]
    username: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// Accepted only to be refused.
    #[arg(short, long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = forgotten)]
    password: Option<Forgotten>,
    /// Accepted only to be refused.
    #[arg(hide = true, value_parser = forgotten)]
    more: Vec<Forgotten>,
    #[command(flatten)]
    network: Network,
}

/// An argument that may be a password, so it is not kept.
#[derive(Clone, Copy, Debug)]
struct Forgotten;

#[allow(clippy::unnecessary_wraps, reason = "the signature that the parser expects")]
fn forgotten(_: &str) -> Result<Forgotten, String> {
    Ok(Forgotten)
}

/// Parses the host for `login` and `logout`; a login in it is not repeated.
///
/// # Errors
/// Class usage.
pub fn host(text: &str) -> Result<&str, Fault> {
    let wrong = |found: &str| {
        Fault::new(Class::Usage, differs("host", "HOST or HOST:PORT", found))
            .help("write it as in references: docker.io, registry.example:5000")
    };
    if text.contains('@') {
        return Err(wrong("an @, which may follow a secret"));
    }
    Repository::new(text, "x").map(|_| text).map_err(|_| wrong(&format!("{text:?}")))
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class source if the registry refuses the login; class policy if its token
    /// server must not get it; class io if it cannot be saved.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        if self.password.is_some() || !self.more.is_empty() {
            return Err(Fault::new(Class::Usage, differs("login", "no password in an argument", "one")).help(
                "change it, since others may have seen it; then pass it on standard input with --password-stdin",
            ));
        }
        let host = host(&self.host)?;
        if self.username.is_empty() || self.username.contains(':') {
            return Err(Fault::new(Class::Usage, differs("--username", "a name without a colon", "something else"))
                .help("pass the password on standard input with --password-stdin"));
        }
        let config = self.network.config.load(session.world)?;
        if let Some(endpoint) = config.registry(host).and_then(|registry| registry.table.endpoint.as_ref()) {
            let what = format!(
                "login: {host} is replaced by the endpoint {:?}, which needs its own login",
                escape(endpoint.get_ref())
            );
            return Err(Fault::new(Class::Usage, what).help("log in at that host"));
        }
        let file = self.file(host, session)?;
        let password = self.password(host, session)?;
        if let Ok(Some((name, credential))) = config.credential_for(host, "") {
            session
                .flow
                .warn(format!("{}: credential {name} takes precedence over this login for {host}", credential.at));
        }
        let login = Credential::password(&self.username, password.as_str());
        let registries = registries::open_with(&self.network, session, Arc::new(config), login)?;
        let tried = registries.log_in(host).map_err(|error| error.into_fault(Class::Source))?;
        let kept = self.keep(host, &password, &file, session)?;

        let username = escape(&self.username);
        let mut text = format!("logged in  {host} as {username}\nkept       {}\n", kept.place);
        if !tried {
            text = format!("not tried  {host} asks for no login\nkept       {}\n", kept.place);
        }
        if kept.plain {
            text.push_str("           in plain base64: anyone who can read the file can read the password; a credential helper is safer\n");
        }
        let result = json!({
            "host": host, "username": self.username, "tried": tried, "file": kept.file, "helper": kept.helper,
            "plain": kept.plain,
        });
        Ok(Outcome::new(text, result))
    }

    /// Returns the file to save the login in: `--authfile`, else the first that has a login for
    /// this host, else `$REGISTRY_AUTH_FILE`, else docker's.
    fn file(&self, host: &str, session: &Session<'_>) -> Result<PathBuf, Fault> {
        if let Some(file) = &self.network.authfile {
            return Ok(session.path(file));
        }
        for path in auth_file::places(None, session.world) {
            let bytes = auth_file::read(&path).map_err(unusable)?.unwrap_or_default();
            let at = |error: String| unusable(format!("auth file {}: {error}", path.display()));
            if auth_file::without(&bytes, host).map_err(at)?.is_some() {
                return Ok(path);
            }
        }
        let named = session.world.var("REGISTRY_AUTH_FILE");
        let named = named.map(|file| session.path(Path::new(file)));
        named.or_else(|| auth_file::docker(session.world)).ok_or_else(|| {
            Fault::new(Class::Usage, differs("login", "a file to save it in", "neither HOME nor DOCKER_CONFIG"))
                .help("name a file with --authfile")
        })
    }

    fn password(&self, host: &str, session: &mut Session<'_>) -> Result<Zeroizing<String>, Fault> {
        let wrong = |found: &str| {
            Fault::new(Class::Usage, differs("password", "a password", found))
                .help("pass it on standard input with --password-stdin, or type it when asked")
        };
        let password = if self.password_stdin {
            let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 1));
            let stdin = session.world.stdin.by_ref().take(MAX as u64 + 1);
            { stdin }.read_to_end(&mut bytes).map_err(|error| wrong(&error.to_string()))?;
            if bytes.len() > MAX {
                return Err(wrong("more than 64 KiB"));
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong("bytes that are not UTF-8"))?;
            let line = text.strip_suffix('\n').unwrap_or(text);
            Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned())
        } else if session.world.terminal.stdin {
            let asked = session.world.ask_secret(&format!("password of {} at {host}: ", escape(&self.username)));
            asked.map_err(|error| match error.kind() {
                std::io::ErrorKind::Interrupted => Fault::new(Class::Cancelled, "cancelled"),
                _ => wrong(&error.to_string()),
            })?
        } else {
            return Err(wrong("no terminal to ask for it"));
        };
        if password.is_empty() { Err(wrong("nothing")) } else { Ok(password) }
    }

    fn keep(&self, host: &str, password: &str, path: &Path, session: &Session<'_>) -> Result<Kept, Fault> {
        let before = auth_file::read(path).map_err(unusable)?;
        let bytes = before.as_ref().map(|bytes| bytes.as_slice()).unwrap_or_default();
        let at = |error: String| unusable(format!("auth file {}: {error}", path.display()));
        let file = path.display().to_string();
        if let Some((helper, server)) = docker_config::helper(bytes, host).map_err(at)? {
            let told = json!({ "ServerURL": server, "Username": self.username, "Secret": password }).to_string();
            let told = Zeroizing::new(told);
            let asked = auth_file::ask(&helper, "store", told.as_bytes(), &session.world.surroundings());
            asked.map_err(|why| unusable(why.into()))?;
            let place = format!("by docker-credential-{helper}, which {file} names");
            return Ok(Kept { place, file, helper: Some(helper), plain: false });
        }
        let after = auth_file::with_login(bytes, host, &self.username, password).map_err(at)?;
        replace::replace(path, before.as_ref().map(|bytes| bytes.as_slice()), &after).map_err(|error| {
            Fault::new(replace::class(&error), format!("auth file {file}: {error}"))
                .help("name another file with --authfile")
        })?;
        Ok(Kept { place: file.clone(), file, helper: None, plain: true })
    }
}

/// Where a login was saved.
struct Kept {
    place: String,
    file: String,
    helper: Option<String>,
    plain: bool,
}

/// Returns the fault for an auth file or helper that cannot be used.
pub fn unusable(error: String) -> Fault {
    Fault::new(Class::Usage, error)
        .help("repair the file or the helper that it names, or name another file with --authfile")
}
