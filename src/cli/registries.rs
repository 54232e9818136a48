//! Registries as the command line and the environment describe them: certificates, logins, proxies.

use std::path::PathBuf;

use super::Session;
use super::network::Network;
use crate::fault::{Class, Fault};
use crate::registry::{Proxies, Registries, Settings, docker_config};

/// The largest auth file, in bytes.
const MAX_AUTH_FILE: u64 = 1 << 20;

/// Where logins stand: `--authfile` alone, else podman's and docker's files in the order in which
/// podman looks for them.
fn auth_files(network: &Network, session: &Session<'_>) -> Vec<PathBuf> {
    if let Some(file) = &network.authfile {
        return vec![session.path(file)];
    }
    let under = |variable: &str, rest: &str| session.world.var(variable).map(|dir| PathBuf::from(dir).join(rest));
    [
        session.world.var("REGISTRY_AUTH_FILE").map(PathBuf::from),
        under("XDG_RUNTIME_DIR", "containers/auth.json"),
        under("XDG_CONFIG_HOME", "containers/auth.json").or_else(|| under("HOME", ".config/containers/auth.json")),
        under("DOCKER_CONFIG", "config.json").or_else(|| under("HOME", ".docker/config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The registries of one run.
///
/// # Errors
/// Class usage: a certificate or auth file that cannot be read.
pub fn open(network: &Network, session: &Session<'_>) -> Result<Registries, Fault> {
    let mut ca = Vec::new();
    if let Some(file) = &network.ca {
        let path = session.path(file);
        ca.push(std::fs::read(&path).map_err(|error| {
            Fault::new(Class::Usage, format!("--ca {}: {error}", path.display()))
                .help("name a file of PEM certificates")
        })?);
    }
    let mut files = Vec::new();
    for path in auth_files(network, session) {
        match crate::bundle::files::read_capped(&path, MAX_AUTH_FILE) {
            Ok(Some(bytes)) => files.push((path, zeroize::Zeroizing::new(bytes))),
            Ok(None) if network.authfile.is_none() => {}
            Ok(None) => {
                return Err(Fault::new(Class::Usage, format!("--authfile {}: not there, or empty", path.display()))
                    .help("name a file in the form of docker's config.json"));
            }
            // A link is how many keep this file; it is the user's own.
            Err(_) => match std::fs::read(&path) {
                Ok(bytes) => files.push((path, zeroize::Zeroizing::new(bytes))),
                Err(error) => {
                    return Err(Fault::new(Class::Usage, format!("auth file {}: {error}", path.display()))
                        .help("make it readable, or name another one with --authfile"));
                }
            },
        }
    }
    let credentials = move |host: &str, path: &str| {
        for (file, bytes) in &files {
            let found = docker_config::find(bytes, host, path);
            match found.map_err(|error| format!("{}: {error}", file.display()))? {
                None => {}
                found => return Ok(found),
            }
        }
        Ok(None)
    };
    let variable = |name: &str| {
        let lower = session.world.var(&name.to_ascii_lowercase());
        lower
            .or_else(|| session.world.var(name))
            .and_then(|value| value.to_str())
            .filter(|value| !value.is_empty())
            .map(ToOwned::to_owned)
    };
    let settings = Settings {
        credentials: Box::new(credentials),
        plain_http: network.plain_http.clone(),
        insecure: network.insecure.clone(),
        ca,
        realms: network.realm.clone(),
        retries: network.retries,
        proxies: Proxies { https: variable("HTTPS_PROXY"), http: variable("HTTP_PROXY"), except: variable("NO_PROXY") },
        ..Settings::default()
    };
    Registries::new(settings, session.flow.clone()).map_err(|error| error.into_fault(Class::Usage))
}
