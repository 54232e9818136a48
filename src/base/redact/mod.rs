//! Removes secrets from text that is shown or written: a password before an `@`, signatures and
//! tokens in addresses, values after `--password`, and the secrets that a run read or sent.
//!
//! There are three ways, since none is enough alone. [`redact`] recognizes secrets by their form,
//! in text from any source. [`Secrets`] knows the secrets of the command line and also finds parts
//! of them, which messages may quote and which no longer have a recognizable form. It also knows
//! what was sent over the network, in the forms in which a server may repeat it. All prefer to
//! hide too much: a hidden name can be looked up, but a secret that was shown must be changed.
//! None replaces validation: the parser of an argument refuses secrets in it.

pub mod form;
mod sent;

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::Mutex;

use zeroize::Zeroizing;

pub use self::form::{HIDDEN, has_secret, redact, redact_argument};
use self::form::{is_secret, secrets, units};
use self::sent::Sent;
use crate::base::fault::{Fault, escape};
use crate::base::lock::lock;

/// Shortest typed secret to search for, in characters. Shorter ones are parts of ordinary words.
const SHORTEST: usize = 3;
/// Shortest secret read from elsewhere to search for, in bytes.
const SHORTEST_LEARNED: usize = 6;

/// Secrets of a run: from its command line, those that it read, and those that it sent.
#[derive(Default)]
pub struct Secrets {
    typed: Vec<String>,
    learned: Mutex<Vec<Zeroizing<String>>>,
    sent: Sent,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.typed.len())
    }
}

impl Secrets {
    /// Finds the secrets in `arguments`, of which the first is the program's name.
    pub fn of(arguments: &[OsString]) -> Self {
        let words: Vec<Cow<'_, str>> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        let mut found = typed(words.iter().skip(1).map(|word| &**word));
        // An argument may itself be a command line.
        for word in words.iter().skip(1).filter(|word| word.contains(char::is_whitespace)) {
            found.extend(typed(word.split_whitespace().skip(1).map(|word| word.trim_matches(['"', '\'']))));
        }
        Self::from_list(found)
    }

    /// Adds each secret in its plain form and in the spellings that the program's outputs use.
    fn from_list(found: Vec<String>) -> Self {
        let mut all = Vec::new();
        for secret in found.into_iter().filter(|secret| secret.chars().count() >= SHORTEST) {
            let quoted = format!("{secret:?}");
            let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            all.extend([escape(&secret), quoted[1..quoted.len() - 1].to_owned(), html, secret]);
        }
        // The longest first, because a shorter secret may be part of a longer one.
        all.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        all.dedup();
        Self { typed: all, ..Self::default() }
    }

    /// Remembers a secret that was read. From now on messages hide it. Results do not, since a
    /// password may be an ordinary word.
    pub fn learn(&self, secret: &str) {
        if secret.len() >= SHORTEST_LEARNED {
            lock(&self.learned).push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Returns `text` with the typed secrets hidden.
    pub fn hide(&self, text: &str) -> String {
        self.typed.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }

    /// Returns a message with all known secrets hidden, and everything that has the form of a
    /// secret.
    pub fn hide_all(&self, text: &str) -> String {
        let text = self.hide(&redact(text));
        let learned = lock(&self.learned);
        learned
            .iter()
            .fold(text, |text, secret| if text.contains(&***secret) { text.replace(&***secret, HIDDEN) } else { text })
    }

    /// Applies [`Self::hide_all`] to every text of a fault and of its other faults.
    #[must_use]
    pub fn clean(&self, fault: Fault) -> Fault {
        fault.map_texts(&|text| self.hide_all(&text))
    }

    /// Applies [`Self::hide`] to every string of a JSON value.
    pub fn clean_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(text) => *text = self.hide(text),
            Value::Array(list) => list.iter_mut().for_each(|one| self.clean_json(one)),
            Value::Object(members) => members.values_mut().for_each(|one| self.clean_json(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds a secret that is sent, for the whole run.
    pub fn secret(&self, secret: &str) {
        self.sent.secret(secret);
    }

    /// Adds the password of a user, which is sent.
    pub fn password(&self, username: &str, password: &str) {
        self.sent.password(username, password);
    }

    /// Adds the login in the address of a proxy, if it has one.
    pub fn proxy(&self, address: &str) {
        self.sent.proxy(address);
    }

    /// Adds a token that is sent and ends; old ones are forgotten when there are many.
    pub fn token(&self, token: &str) {
        self.sent.token(token);
    }

    /// Returns a text from the network without the secrets that were sent.
    pub fn without(&self, text: String) -> String {
        self.sent.without(text)
    }

    /// Applies [`Self::without`] to every text of a fault from the network.
    pub fn out_of<C>(&self, fault: Fault<C>) -> Fault<C> {
        fault.map_texts(&|text| self.without(text))
    }

    /// Whether no secrets were typed.
    pub const fn is_empty(&self) -> bool {
        self.typed.is_empty()
    }
}

/// Returns the secrets among the words of a command line, without the program's name.
fn typed<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_value = false;
    for word in words {
        if std::mem::take(&mut is_value) && !word.starts_with('-') {
            found.push(word.to_owned());
        }
        is_value = word.strip_prefix('-').is_some_and(|name| name == "p" || is_secret(name));
        if let Some(value) = word.strip_prefix("-p").filter(|_| !word.contains('=')) {
            found.push(value.to_owned());
        }
        for range in secrets(word) {
            found.extend(parts(&word[range]));
        }
    }
    found
}

/// Returns the parts of a secret that a message may quote: the whole, as typed and percent-decoded,
/// and the pieces between the separators of reference parsers. A user name counts only together
/// with its password.
fn parts(secret: &str) -> Vec<String> {
    let plain: String = units(secret).iter().map(|unit| unit.is).collect();
    let mut all = Vec::new();
    for whole in [secret, &plain] {
        let password = whole.split_once(':').map_or(whole, |(_, password)| password);
        all.extend([whole, password].map(ToOwned::to_owned));
        all.extend(password.split([':', '@', '/', '=', ',', '&', '?', '#', ';', '+']).map(ToOwned::to_owned));
    }
    all
}

#[cfg(test)]
mod tests;
