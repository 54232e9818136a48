//! Logins from a file as Apache's `htpasswd -B` writes it: one `USER:BCRYPT` a line.
//!
//! A bcrypt hash is made to be slow, so checks are bounded: few run at once, few wait, hashes of
//! higher cost than [`COST`] are refused at start, and results are kept under a keyed hash, so that
//! a client that logs in with every request costs one check. A user that does not exist costs as
//! much as one that does.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64, Encoding as _};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::limits::{COST, LOGINS, WAITING};
use crate::base::lock::lock;
use crate::oci::{Algorithm, Hasher};

/// Maximum length of a login in bytes, before it is decoded.
const LONGEST: usize = 1024;
/// Maximum number of results that are kept.
const KEPT: usize = 1024;

/// The users of a server.
pub struct Htpasswd {
    users: HashMap<String, String>,
    // Checked for users that do not exist.
    decoy: String,
    results: Mutex<Results>,
    turns: Semaphore,
    waiting: AtomicUsize,
    key: [u8; 32],
}

#[derive(Default)]
struct Results {
    known: HashMap<Vec<u8>, bool>,
    order: VecDeque<Vec<u8>>,
}

/// Why a file of logins cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HtpasswdError {
    /// A line is not `USER:HASH`.
    #[error("line {0}: expected USER:HASH")]
    Form(usize),
    /// Another hash than bcrypt.
    #[error("line {0}: expected a bcrypt hash ($2y$…), found another kind")]
    Kind(usize),
    /// A hash that takes too long to check.
    #[error("line {line}: expected a cost of at most {COST}, found {found}")]
    Cost {
        /// Number of the line, from 1.
        line: usize,
        /// Cost as found.
        found: u32,
    },
    /// A user for the second time.
    #[error("line {0}: expected each user once")]
    Twice(usize),
    /// No user at all.
    #[error("expected at least one user, found none")]
    Empty,
    /// The system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// Result of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// A user with the right password.
    User(String),
    /// No login, or a wrong one.
    Refused,
    /// Too many logins wait to be checked.
    Busy,
}

impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Htpasswd({})", self.users.len())
    }
}

/// Returns the cost of a bcrypt hash, `None` for another kind.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|start| hash.strip_prefix(start))?;
    let (cost, rest) = rest.split_once('$')?;
    let is_salted = rest.len() == 53 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    let is_number = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    cost.parse().ok().filter(|cost| is_salted && is_number && *cost >= 4)
}

impl Htpasswd {
    /// Parses a file of logins. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`HtpasswdError`]; it never contains a name or a hash.
    pub fn parse(text: &str) -> Result<Self, HtpasswdError> {
        let mut users = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim_end());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) =
                line.split_once(':').filter(|(user, _)| !user.is_empty()).ok_or(HtpasswdError::Form(number))?;
            let found = cost(hash).ok_or(HtpasswdError::Kind(number))?;
            if found > COST {
                return Err(HtpasswdError::Cost { line: number, found });
            }
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(HtpasswdError::Twice(number));
            }
        }
        let decoy = users.values().max_by_key(|hash| cost(hash)).cloned().ok_or(HtpasswdError::Empty)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| HtpasswdError::Random(error.to_string()))?;
        let (results, turns, waiting) = (Mutex::default(), Semaphore::new(LOGINS), AtomicUsize::new(0));
        Ok(Self { users, decoy, results, turns, waiting, key })
    }

    /// Returns the key of a login in the results, which says nothing of the password.
    fn fingerprint(&self, user: &str, password: &str) -> Vec<u8> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&self.key);
        hasher.update(&(user.len() as u64).to_be_bytes());
        hasher.update(user.as_bytes());
        hasher.update(password.as_bytes());
        hasher.update(&self.key);
        hasher.finish().raw().to_vec()
    }

    /// Checks the value of an `Authorization` header.
    pub(super) async fn check(&self, header: Option<&[u8]>, handle: &Handle) -> Login {
        let Some((user, password)) = header.and_then(credentials) else { return Login::Refused };
        let fingerprint = self.fingerprint(&user, &password);
        let verdict = |is_right: bool| if is_right { Login::User(user.clone()) } else { Login::Refused };
        if let Some(known) = lock(&self.results).known.get(&fingerprint) {
            return verdict(*known);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Login::Busy;
        }
        let _left = Waiting(&self.waiting);
        let Ok(_turn) = self.turns.acquire().await else { return Login::Busy };
        // Another request of the same client may have been checked meanwhile.
        if let Some(known) = lock(&self.results).known.get(&fingerprint) {
            return verdict(*known);
        }
        let is_user = self.users.contains_key(&user);
        let hash = self.users.get(&user).unwrap_or(&self.decoy).clone();
        let checked = handle.spawn_blocking(move || bcrypt::verify(password.as_bytes(), &hash).unwrap_or(false)).await;
        let is_right = is_user && checked.unwrap_or(false);
        let mut results = lock(&self.results);
        if results.known.insert(fingerprint.clone(), is_right).is_none() {
            results.order.push_back(fingerprint);
        }
        while results.order.len() > KEPT {
            let Some(oldest) = results.order.pop_front() else { break };
            results.known.remove(&oldest);
        }
        verdict(is_right)
    }
}

/// Counts one login less when it is dropped, also when its client went away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns user and password of a Basic login.
fn credentials(header: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= LONGEST)?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(Base64::decode_vec(encoded.trim()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, password: &str) -> String {
        format!("{user}:{}", bcrypt::hash(password, 4).unwrap().replacen("$2b$", "$2y$", 1))
    }

    fn header(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes())).into_bytes()
    }

    fn check(users: &Htpasswd, header: Option<&[u8]>) -> Login {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        runtime.block_on(users.check(header, &handle))
    }

    #[test]
    fn only_a_known_user_with_the_right_password_enters() {
        let users =
            Htpasswd::parse(&format!("# users\n\n{}\n{}\r\n", line("mule", "oats"), line("ann", "a:b"))).unwrap();
        let user = |name: &str| Login::User(name.to_owned());
        for _ in 0..2 {
            assert_eq!(check(&users, Some(&header("mule", "oats"))), user("mule"));
            assert_eq!(check(&users, Some(&header("ann", "a:b"))), user("ann"));
            for wrong in [("mule", "hay"), ("mule", ""), ("nobody", "oats"), ("", "oats"), ("mul", "eoats")] {
                assert_eq!(check(&users, Some(&header(wrong.0, wrong.1))), Login::Refused, "{wrong:?}");
            }
        }
        for wrong in [&b"Bearer x"[..], b"Basic", b"Basic !", b"Basic bXVsZQ==", b"\xff", b""] {
            assert_eq!(check(&users, Some(wrong)), Login::Refused, "{wrong:?}");
        }
        assert_eq!(check(&users, None), Login::Refused);
        // Neither a user without a password nor the decoy's password opens anything.
        assert_eq!(check(&users, Some(&header("nobody", "a:b"))), Login::Refused);
    }

    #[test]
    fn a_login_is_checked_once_and_too_many_are_told_to_wait() {
        let users = Htpasswd::parse(&line("mule", "oats")).unwrap();
        assert_eq!(check(&users, Some(&header("mule", "oats"))), Login::User("mule".into()));
        users.waiting.store(WAITING, Ordering::Relaxed);
        assert_eq!(check(&users, Some(&header("mule", "oats"))), Login::User("mule".into()), "it is known");
        assert_eq!(check(&users, Some(&header("mule", "hay"))), Login::Busy);
        users.waiting.store(0, Ordering::Relaxed);
        for number in 0..KEPT + 10 {
            let mut results = lock(&users.results);
            let key = number.to_be_bytes().to_vec();
            results.known.insert(key.clone(), false);
            results.order.push_back(key);
        }
        check(&users, Some(&header("mule", "hay")));
        let results = lock(&users.results);
        assert!(results.order.len() == results.known.len() && results.order.len() == KEPT);
    }

    #[test]
    fn other_files_are_refused_without_repeating_them() {
        let rest = "a".repeat(53);
        for (text, expected) in [
            ("", HtpasswdError::Empty),
            ("# x\n", HtpasswdError::Empty),
            ("mule", HtpasswdError::Form(1)),
            (":x", HtpasswdError::Form(1)),
            ("\nmule:{SHA}canary", HtpasswdError::Kind(2)),
            ("mule:$apr1$canary", HtpasswdError::Kind(1)),
            ("mule:canary", HtpasswdError::Kind(1)),
            ("mule:$2y$04$short", HtpasswdError::Kind(1)),
            (&format!("mule:$2y$03${rest}"), HtpasswdError::Kind(1)),
            (&format!("mule:$2y$15${rest}"), HtpasswdError::Cost { line: 1, found: 15 }),
            (&format!("a:$2y$04${rest}\na:$2y$04${rest}"), HtpasswdError::Twice(2)),
        ] {
            let error = Htpasswd::parse(text).unwrap_err();
            assert!(error == expected && !error.to_string().contains("canary"), "{text:?}: {error}");
        }
        assert!(Htpasswd::parse(&format!("mule:$2y$14${rest}")).is_ok());
    }
}
