//! Logins in the auth files of docker and podman (`config.json`, `auth.json`).
//!
//! Works on bytes: the caller reads the files and runs the credential helpers. Errors never repeat
//! the content of a file.

use std::collections::BTreeMap;

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::base::fault::escape;
use crate::registry::credential::Credential;

/// Key under which docker stores the login of docker.io.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// User name with which a helper marks its secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// Reason why a credential helper gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// There is no such program here.
    Missing(String),
    /// It failed.
    Failed(String),
}

impl From<Unanswered> for String {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Missing(text) | Unanswered::Failed(text) => text,
        }
    }
}

/// The credential helpers of this machine, and where warnings go.
pub trait Helpers {
    /// Asks the helper with the given name for the login at a server. Returns its raw output;
    /// `None` if it reports that it has no login.
    ///
    /// # Errors
    /// [`Unanswered`].
    fn ask(&self, helper: &str, server: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Unanswered>;

    /// Warns that something here counts as no login.
    fn warn(&self, text: String);
}

/// A helper to ask, and for which server.
struct Asked {
    helper: String,
    server: String,
    /// Whether it is the helper for all hosts (`credsStore`), not one for this host.
    is_general: bool,
}

/// The parts of a file that concern logins.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        for part in [&mut self.auth, &mut self.identitytoken, &mut self.password] {
            part.zeroize();
        }
    }
}

/// Output of a helper's `get`, and input of its `store`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// Returns the key under which a login for `host` is stored: docker's own key for docker.io.
pub fn key(host: &str) -> &str {
    if host == "docker.io" { DOCKER_HUB } else { host }
}

/// Returns all keys under which the login of a host may be stored, the usual one first.
pub fn keys(host: &str) -> Vec<&str> {
    match host {
        "docker.io" => vec![DOCKER_HUB, "docker.io", "index.docker.io", "registry-1.docker.io"],
        other => vec![other],
    }
}

/// Reports whether `key`, from a file, means one of `keys`. Older keys have a leading scheme or a
/// trailing path.
pub fn means(key: &str, keys: &[&str]) -> bool {
    let bare = |key: &str| -> Option<String> {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        match rest {
            Some(rest) => rest.split('/').next().map(ToOwned::to_owned),
            None => Some(key.strip_suffix('/').unwrap_or(key).to_owned()),
        }
    };
    keys.contains(&key) || bare(key).is_some_and(|bare| keys.contains(&bare.as_str()))
}

/// Returns the text of a file as UTF-8: without a byte order mark, and decoded if that says UTF-16,
/// as some editors and shells write it. `None` if the file has no such mark.
pub fn unmarked(file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = Zeroizing::new(rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect::<Vec<u16>>());
        Zeroizing::new(String::from_utf16_lossy(&units).into_bytes())
    };
    match file {
        [0xef, 0xbb, 0xbf, rest @ ..] => Some(Zeroizing::new(rest.to_vec())),
        [0xff, 0xfe, rest @ ..] => Some(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(utf16(rest, u16::from_be_bytes)),
        _ => None,
    }
}

fn parse(file: &[u8]) -> Result<File, String> {
    let text = unmarked(file);
    let file = text.as_ref().map_or(file, |text| text.as_slice());
    // The parser's own message may contain what it read.
    let wrong = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        format!("expected the format of docker's config.json, found something else at line {line}, column {column}")
    };
    if file.iter().all(u8::is_ascii_whitespace) {
        Ok(File::default())
    } else {
        serde_json::from_slice(file).map_err(wrong)
    }
}

/// Returns the helper that stores the login of `host`, and the server name to ask it for; `None` if
/// the file itself stores the login.
///
/// # Errors
/// A text that describes the defect of the file.
pub fn helper(file: &[u8], host: &str) -> Result<Option<(String, String)>, String> {
    Ok(parse(file)?.helpers(host).into_iter().next().map(|asked| (asked.helper, asked.server)))
}

impl File {
    /// Returns the helpers in the order in which to ask them.
    fn helpers(&self, host: &str) -> Vec<Asked> {
        let own = self.cred_helpers.iter().flatten();
        let named = keys(host).into_iter().find_map(|key| own.clone().find(|(listed, _)| *listed == key));
        if let Some((server, helper)) = named {
            // An empty name means: in the file, even if credsStore is set.
            let asked = || Asked { helper: helper.clone(), server: server.clone(), is_general: false };
            return if helper.is_empty() { Vec::new() } else { vec![asked()] };
        }
        match self.creds_store.as_deref() {
            None | Some("") => Vec::new(),
            Some(store) => {
                let asked =
                    |server: &str| Asked { helper: store.to_owned(), server: server.to_owned(), is_general: true };
                keys(host).into_iter().take(2).map(asked).collect()
            }
        }
    }
}

impl Entry {
    fn credential(&self, key: &str) -> Result<Option<Credential>, String> {
        let filled = |part: &Option<String>| part.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credential::Identity(Zeroizing::new(token))));
        }
        if let Some(auth) = filled(&self.auth).map(Zeroizing::new) {
            let wrong = || format!("login of {}: expected USER:PASSWORD in base64", escape(key));
            let bytes = Base64::decode_vec(&auth).or_else(|_| Base64Unpadded::decode_vec(&auth));
            let bytes = Zeroizing::new(bytes.map_err(|_| wrong())?);
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
            let (username, password) = text.split_once(':').ok_or_else(wrong)?;
            // Some writers pad with NUL bytes.
            let password = password.trim_end_matches('\0');
            return Ok((!username.is_empty() || !password.is_empty()).then(|| Credential::password(username, password)));
        }
        Ok(match (filled(&self.username), filled(&self.password)) {
            (Some(username), Some(password)) => {
                Some(Credential::Password { username, password: Zeroizing::new(password) })
            }
            _ => None,
        })
    }
}

/// Returns the login for `host` and repository `path` (empty for the host itself) from `file`, the
/// bytes of one auth file; `Ok(None)` if it has none. Podman's keys with a path take precedence,
/// the longest first, over helpers, and helpers over the entry of the host. A missing general
/// helper and an empty answer count as no login, with a warning.
///
/// # Errors
/// A text that describes the defect of the file or the helper, without secrets.
pub fn find(file: &[u8], host: &str, path: &str, helpers: &dyn Helpers) -> Result<Option<Credential>, String> {
    let parsed = parse(file)?;
    let entries = || parsed.auths.iter().flatten().filter_map(|(key, entry)| Some((key.as_str(), entry.as_ref()?)));
    let mut scope = path;
    while !scope.is_empty() {
        let wanted = format!("{host}/{scope}");
        if let Some((key, entry)) = entries().find(|(key, _)| *key == wanted)
            && let Some(credential) = entry.credential(key)?
        {
            return Ok(Some(credential));
        }
        scope = scope.rsplit_once('/').map_or("", |(above, _)| above);
    }
    for Asked { helper, server, is_general } in parsed.helpers(host) {
        let answer = match helpers.ask(&helper, &server) {
            Ok(answer) => answer,
            // Files are copied from machines that have other helpers.
            Err(Unanswered::Missing(why)) if is_general => {
                helpers.warn(format!("{why}: continuing without it"));
                None
            }
            Err(why) => return Err(why.into()),
        };
        let Some(answer) = answer else { continue };
        match helped(&answer, &helper)? {
            None => helpers.warn(format!(
                "credential helper docker-credential-{}: answered without a login for {}: continuing without it",
                escape(&helper),
                escape(&server)
            )),
            found => return Ok(found),
        }
    }
    let keys = keys(host);
    let exact = keys.iter().filter_map(|wanted| entries().find(|(key, _)| key == wanted));
    for (key, entry) in exact.chain(entries().filter(|(key, _)| means(key, &keys))) {
        if let Some(credential) = entry.credential(key)? {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

/// Returns the login in a helper's answer; `None` for an empty answer or secret.
fn helped(answer: &[u8], helper: &str) -> Result<Option<Credential>, String> {
    if answer.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let Helped { username, secret } = serde_json::from_slice(answer).map_err(|_| {
        format!(
            "credential helper docker-credential-{helper}: expected JSON with Username and Secret, found something else"
        )
    })?;
    let secret = Zeroizing::new(secret);
    Ok(match (secret.is_empty(), username == TOKEN_USER) {
        (true, _) => None,
        (false, true) => Some(Credential::Identity(secret)),
        (false, false) => Some(Credential::Password { username, password: secret }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = dyn Fn() -> Result<Option<&'static str>, Unanswered>;

    /// Helpers that answer as a function does, and keep the warnings.
    struct Told<F>(F, std::cell::RefCell<Vec<String>>);

    impl<F: Fn(&str, &str) -> Result<Option<&'static str>, Unanswered>> Helpers for Told<F> {
        fn ask(&self, helper: &str, server: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Unanswered> {
            Ok((self.0)(helper, server)?.map(|answer| Zeroizing::new(answer.as_bytes().to_vec())))
        }
        fn warn(&self, text: String) {
            self.1.borrow_mut().push(text);
        }
    }

    struct Nobody;

    impl Helpers for Nobody {
        fn ask(&self, _: &str, _: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Unanswered> {
            panic!("no helper was to be asked")
        }
        fn warn(&self, text: String) {
            panic!("{text}")
        }
    }

    fn shown(found: Option<Credential>) -> Option<String> {
        match found? {
            Credential::Password { username, password } => Some(format!("{username}:{}", *password)),
            Credential::Identity(token) => Some(format!("token:{}", *token)),
            Credential::Entra(_) => None,
        }
    }

    fn user(file: &str, host: &str, path: &str) -> Option<String> {
        shown(find(file.as_bytes(), host, path, &Nobody).unwrap())
    }

    #[test]
    fn hosts_paths_and_docker_hub_are_found() {
        // "a:b", "c:d", "e:f", "g:h:i" in base64.
        let file = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"YTpi"},
            "quay.example":{"auth":"Yzpk","email":"x"},
            "quay.example/org":{"auth":"ZTpm"},
            "quay.example/org/empty":{},
            "https://old.example/v2/":{"auth":"YTpi"},
            "colon.example":{"auth":"ZzpoOmk="},
            "unpadded.example":{"auth":"ZzpoOmk"},
            "apart.example":{"username":"u","password":"p"},
            "null.example":null,
            "token.example":{"auth":"YTpi","identitytoken":"t0"}},
            "HttpHeaders":{"x":"y"}}"#;
        assert_eq!(user(file, "docker.io", "library/alpine").as_deref(), Some("a:b"));
        assert_eq!(user(file, "quay.example", "other/x").as_deref(), Some("c:d"));
        assert_eq!(user(file, "quay.example", "organ/x").as_deref(), Some("c:d"));
        assert_eq!(user(file, "quay.example", "org").as_deref(), Some("e:f"));
        assert_eq!(user(file, "quay.example", "org/empty/x").as_deref(), Some("e:f"));
        assert_eq!(user(file, "quay.example", "").as_deref(), Some("c:d"));
        assert_eq!(user(file, "old.example", "x").as_deref(), Some("a:b"));
        assert_eq!(user(file, "colon.example", "x").as_deref(), Some("g:h:i"));
        assert_eq!(user(file, "unpadded.example", "x").as_deref(), Some("g:h:i"));
        assert_eq!(user(file, "apart.example", "x").as_deref(), Some("u:p"));
        assert_eq!(user(file, "token.example", "x").as_deref(), Some("token:t0"));
        for none in ["ghcr.io", "null.example", "example", "org"] {
            assert_eq!(user(file, none, "x"), None, "{none}");
        }
        assert_eq!(user("{}", "ghcr.io", "x"), None);
        assert_eq!(user(" \n", "ghcr.io", "x"), None);
        assert_eq!(user(r#"{"auths":{"docker.io":{"auth":"Yzpk"}}}"#, "docker.io", "a/b").as_deref(), Some("c:d"));
    }

    #[test]
    fn helpers_are_asked_by_host_then_for_all_then_the_file_is_read() {
        let file = r#"{"auths":{"one.example":{},"two.example":{"auth":"YTpi"},"plain.example":{"auth":"Yzpk"},
            "one.example/ns":{"auth":"ZTpm"}},
            "credsStore":"all","credHelpers":{"one.example":"own","plain.example":""}}"#;
        let ask = |helper: &str, server: &str| {
            Ok(Some(match (helper, server) {
                ("own", "one.example") => r#"{"ServerURL":"x","Username":"u","Secret":"s"}"#,
                ("all", "https://index.docker.io/v1/") => r#"{"Username":"<token>","Secret":"t"}"#,
                ("all", "odd.example") => "canary",
                ("all", "broken.example") => {
                    return Err(Unanswered::Failed("credential helper: broken".to_owned()));
                }
                _ => return Ok(None),
            }))
        };
        let ask = Told(ask, std::cell::RefCell::default());
        let login = |host: &str, path: &str| shown(find(file.as_bytes(), host, path, &ask).unwrap());
        assert_eq!(login("one.example", "x").as_deref(), Some("u:s"));
        assert_eq!(login("one.example", "ns/x").as_deref(), Some("e:f"));
        assert_eq!(login("docker.io", "library/x").as_deref(), Some("token:t"));
        assert_eq!(login("two.example", "x").as_deref(), Some("a:b"));
        assert_eq!(login("plain.example", "x").as_deref(), Some("c:d"));
        assert_eq!(login("none.example", "x"), None);
        let odd = find(file.as_bytes(), "odd.example", "", &ask).unwrap_err();
        assert!(odd.contains("docker-credential-all") && !odd.contains("canary"), "{odd}");
        assert!(find(file.as_bytes(), "broken.example", "", &ask).unwrap_err().contains("broken"));
    }

    #[test]
    fn a_helper_that_has_no_login_or_is_not_here_leaves_the_file_and_public_images() {
        let file = r#"{"auths":{"file.example":{"auth":"YTpi"}},"credsStore":"all",
            "credHelpers":{"own.example":"own"}}"#;
        let missing = || Err(Unanswered::Missing("credential helper: none".to_owned()));
        let answers: [(&str, &Answer, usize); 5] = [
            ("silent", &|| Ok(Some("\n")), 1),
            ("empty", &|| Ok(Some(r#"{"ServerURL":"x","Username":"","Secret":""}"#)), 1),
            ("no secret", &|| Ok(Some(r#"{"Username":"u","Secret":""}"#)), 1),
            ("not here", &missing, 1),
            ("not found", &|| Ok(None), 0),
        ];
        for (name, answer, warnings) in answers {
            let told = Told(|_: &str, _: &str| answer(), std::cell::RefCell::default());
            assert_eq!(shown(find(file.as_bytes(), "none.example", "x", &told).unwrap()), None, "{name}");
            assert_eq!(told.1.borrow().len(), warnings, "{name}");
            let in_file = find(file.as_bytes(), "file.example", "x", &told).unwrap();
            assert_eq!(shown(in_file).as_deref(), Some("a:b"), "{name}");
        }
        // A helper that is named for this very host is needed.
        let told = Told(|_: &str, _: &str| missing(), std::cell::RefCell::default());
        assert!(find(file.as_bytes(), "own.example", "x", &told).is_err());
    }

    #[test]
    fn a_file_with_a_byte_order_mark_is_read() {
        let text = r#"{"auths":{"a.example":{"auth":"YTpi"}}}"#;
        let utf16 = |bytes: fn(u16) -> [u8; 2]| ("\u{feff}".to_owned() + text).encode_utf16().flat_map(bytes).collect();
        let files: [Vec<u8>; 3] =
            [("\u{feff}".to_owned() + text).into_bytes(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)];
        for file in files {
            assert_eq!(shown(find(&file, "a.example", "x", &Nobody).unwrap()).as_deref(), Some("a:b"));
            assert_eq!(*unmarked(&file).unwrap(), text.as_bytes());
        }
        assert!(find(b"\xef\xbb\xbf", "a.example", "x", &Nobody).unwrap().is_none());
        assert!(unmarked(text.as_bytes()).is_none());
    }

    #[test]
    fn a_broken_file_is_an_error_without_its_content() {
        for wrong in [
            "{",
            r#"{"auths":{"ghcr.io":{"auth":"%%canary"}}}"#,
            r#"{"auths":{"ghcr.io":{"auth":"Y2FuYXJ5"}}}"#,
            r#"{"auths":{"ghcr.io":{"auth":7781}}}"#,
            r#"{"auths":{"ghcr.io":"canary"}}"#,
            r#"{"auths":["canary"]}"#,
        ] {
            let error = find(wrong.as_bytes(), "ghcr.io", "x", &Nobody).unwrap_err();
            assert!(!error.contains("canary") && !error.contains("7781") && !error.contains("Y2Fu"), "{error}");
        }
    }
}
