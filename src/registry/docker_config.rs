//! Logins from the auth files of docker and podman (`config.json`, `auth.json`), helpers included.
//!
//! Works on bytes: which files are read, and in which order, is the caller's business.

use std::collections::HashMap;

use docker_credential::{CredentialRetrievalError as Failure, DockerCredential, get_credential_from_reader};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::settings::Credential;

/// The key under which docker keeps docker.io's login.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Read by `docker_credential`; only the keys matter here.
#[derive(Deserialize)]
struct Entry {}

#[derive(Deserialize)]
#[allow(clippy::zero_sized_map_values, reason = "only the keys count; a set does not read a JSON object")]
struct Keys {
    #[serde(default)]
    auths: Option<HashMap<String, Entry>>,
}

/// The login for `host` and repository `path` that `file`, the bytes of one auth file, gives;
/// podman's keys with a path win over the bare host, the longest first. `Ok(None)`: it has none.
///
/// # Errors
/// Text that says what is wrong with the file or the helper; no secrets.
pub fn find(file: &[u8], host: &str, path: &str) -> Result<Option<Credential>, String> {
    let keys: Keys = serde_json::from_slice(file).map_err(|error| format!("auth file: {error}"))?;
    let auths = keys.auths.unwrap_or_default();
    let mut candidates = Vec::new();
    let mut scope = format!("{host}/{path}");
    while let Some(cut) = scope.rfind('/') {
        if scope.len() > host.len() + 1 && auths.contains_key(&scope) {
            candidates.push(scope.clone());
        }
        scope.truncate(cut);
    }
    if host == "docker.io" {
        candidates.push(DOCKER_HUB.to_owned());
    }
    candidates.push(host.to_owned());
    for key in candidates {
        match get_credential_from_reader(file, &key) {
            Ok(DockerCredential::UsernamePassword(username, password))
                if username.is_empty() && password.is_empty() => {}
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                let password = Zeroizing::new(password);
                return Ok(Some(Credential::Password { username, password }));
            }
            Ok(DockerCredential::IdentityToken(token)) if token.is_empty() => {}
            Ok(DockerCredential::IdentityToken(token)) => {
                return Ok(Some(Credential::Identity(Zeroizing::new(token))));
            }
            Err(Failure::NoCredentialConfigured) => {}
            // What the helpers of the docker project say when they have none.
            Err(Failure::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {}
            Err(Failure::HelperFailure { helper, stderr, .. }) => {
                return Err(format!("credential helper {helper:?} failed: {}", crate::fault::escape(stderr.trim())));
            }
            Err(other) => return Err(format!("login of {key}: {}", other.to_string().to_lowercase())),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(file: &str, host: &str, path: &str) -> Option<String> {
        match find(file.as_bytes(), host, path).unwrap()? {
            Credential::Password { username, password } => Some(format!("{username}:{}", *password)),
            Credential::Identity(token) => Some(format!("token:{}", *token)),
        }
    }

    #[test]
    fn hosts_paths_and_docker_hub_are_found() {
        // "a:b", "c:d", "e:f" in base64.
        let file = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"YTpi"},
            "quay.example":{"auth":"Yzpk"},
            "quay.example/org":{"auth":"ZTpm"},
            "https://old.example/v2/":{"auth":"YTpi"},
            "token.example":{"auth":"YTpi","identitytoken":"t0"}}}"#;
        assert_eq!(user(file, "docker.io", "library/alpine").as_deref(), Some("a:b"));
        assert_eq!(user(file, "quay.example", "other/x").as_deref(), Some("c:d"));
        assert_eq!(user(file, "quay.example", "org/x").as_deref(), Some("e:f"));
        assert_eq!(user(file, "quay.example", "").as_deref(), Some("c:d"));
        assert_eq!(user(file, "old.example", "x").as_deref(), Some("a:b"));
        assert_eq!(user(file, "token.example", "x").as_deref(), Some("token:t0"));
        assert_eq!(user(file, "ghcr.io", "x"), None);
        assert_eq!(user("{}", "ghcr.io", "x"), None);
        assert_eq!(user(r#"{"auths":{"docker.io":{"auth":"Yzpk"}}}"#, "docker.io", "a/b").as_deref(), Some("c:d"));
    }

    #[test]
    fn a_broken_file_or_helper_is_an_error() {
        assert!(find(b"{", "ghcr.io", "x").is_err());
        assert!(find(br#"{"auths":{"ghcr.io":{"auth":"%%"}}}"#, "ghcr.io", "x").is_err());
        assert!(find(br#"{"credHelpers":{"ghcr.io":"no-such-helper"}}"#, "ghcr.io", "x").is_err());
    }
}
