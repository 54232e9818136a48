//! Removes the secrets that a run sends from texts: a server or proxy may answer with what it was
//! sent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use crate::base::lock::lock;
use crate::base::percent;

/// Replacement for a secret.
const REDACTED: &str = "[redacted]";
/// Minimum length, in bytes, of a secret that is searched for as it is. Shorter ones occur in any
/// text, so only longer forms that contain them are searched for.
const LEAST: usize = 4;
/// Number of leading bytes of a secret that count as the secret, whatever follows.
const PLAIN_PART: usize = 16;
/// Number of leading bytes that count as the secret if the text is cut after them.
const CUT_PART: usize = 6;
/// Maximum number of token forms kept. Older tokens have expired.
const MOST_PASSING: usize = 4096;

type Form = Zeroizing<Vec<u8>>;

/// All secrets that were sent, in the forms in which they may come back.
#[derive(Default)]
pub struct Sent(Mutex<Forms>);

#[derive(Default)]
struct Forms {
    lasting: Vec<Form>,
    passing: VecDeque<Form>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent(redacted)")
    }
}

impl Sent {
    /// Adds a secret that holds for the whole run.
    pub fn secret(&self, secret: &str) {
        self.lasting(forms(secret));
    }

    /// Adds the password of a user.
    pub fn password(&self, username: &str, password: &str) {
        self.lasting(forms(password));
        let pair = Zeroizing::new(format!("{username}:{password}"));
        self.lasting(encoded(&pair));
    }

    /// Adds the login in the address of a proxy, if it has one.
    pub fn proxy(&self, address: &str) {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let Some((login, _)) = rest.split('/').next().and_then(|authority| authority.rsplit_once('@')) else { return };
        let (username, password) = login.split_once(':').unwrap_or((login, ""));
        // Both as written (percent-encoded) and as sent (decoded).
        self.password(username, password);
        let decoded = |text| String::from_utf8_lossy(&percent::decoded(text)).into_owned();
        self.password(&decoded(username), &decoded(password));
    }

    /// Adds a token, which ends; old ones are forgotten when there are many.
    pub fn token(&self, token: &str) {
        let mut known = lock(&self.0);
        for form in forms(token) {
            if !known.passing.contains(&form) {
                known.passing.push_back(form);
            }
        }
        while known.passing.len() > MOST_PASSING {
            known.passing.pop_front();
        }
    }

    fn lasting(&self, forms: Vec<Form>) {
        let mut known = lock(&self.0);
        for form in forms {
            if !known.lasting.contains(&form) {
                known.lasting.push(form);
            }
        }
    }

    /// Returns the text without secrets.
    pub fn without(&self, text: String) -> String {
        let known = lock(&self.0);
        let bytes = text.as_bytes();
        let mut shown = String::new();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let all = known.lasting.iter().chain(&known.passing);
            let Some(length) = all.filter_map(|form| found(&text, at, form)).max() else {
                at += 1;
                continue;
            };
            // A match never starts or ends inside a character: forms begin with whole characters.
            shown.push_str(text.get(from..at).unwrap_or_default());
            if !shown.ends_with(REDACTED) {
                shown.push_str(REDACTED);
            }
            at += length;
            from = at;
        }
        if from == 0 {
            return text;
        }
        shown.push_str(text.get(from..).unwrap_or_default());
        shown
    }
}

/// Returns the length of the match at `at`, if the text there has the whole `form` of a secret or
/// enough of it.
fn found(text: &str, at: usize, form: &[u8]) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    let (mut length, mut same) = (0, 0);
    for byte in form {
        let Some(step) = step(&rest[length..], *byte) else { break };
        length += step;
        same += 1;
    }
    if same == 0 {
        return None;
    }
    while !text.is_char_boundary(at + length) {
        length += 1;
    }
    let behind = text.get(at + length..)?;
    let is_cut = || behind.is_empty() || behind.starts_with(['…', ')', '"', '\'', '\\', '<', ',']);
    let counts = same >= form.len() || same >= PLAIN_PART || (same >= CUT_PART && is_cut());
    if !counts {
        return None;
    }
    // The last characters of an encoded form depend on what followed the secret, so drop them too.
    let tail =
        behind.bytes().take(4).take_while(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte)).count();
    Some(length + tail)
}

/// Returns how many bytes of `text` encode `byte`: the byte itself in either case, `%XX`, `+` for a
/// space, or the byte after `\`.
fn step(text: &[u8], byte: u8) -> Option<usize> {
    match text {
        [first, ..] if first.eq_ignore_ascii_case(&byte) => Some(1),
        [b'%', high, low, ..] => {
            let pair = [*high, *low];
            let value = u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?;
            value.eq_ignore_ascii_case(&byte).then_some(3)
        }
        [b'+', ..] if byte == b' ' => Some(1),
        [b'\\', next, ..] if *next == byte => Some(2),
        _ => None,
    }
}

/// Returns the forms of a secret: itself, escaped, and in base64.
fn forms(secret: &str) -> Vec<Form> {
    let mut forms = encoded(secret);
    if secret.len() >= LEAST {
        for form in [secret, &crate::base::fault::escape(secret)] {
            forms.push(Zeroizing::new(form.as_bytes().to_vec()));
        }
    }
    // If escaping cut the text, use only the part before the cut.
    forms.iter_mut().for_each(|form| {
        let cut = form.ends_with("…".as_bytes());
        let length = form.len() - if cut { "…".len() } else { 0 };
        form.truncate(length);
    });
    forms.retain(|form| !form.is_empty());
    forms.sort_unstable_by(|one, other| one.as_slice().cmp(other));
    forms.dedup();
    forms
}

/// Returns a secret in base64, without the last characters, which depend on what follows the
/// secret.
fn encoded(secret: &str) -> Vec<Form> {
    let whole = secret.len() / 3 * 3;
    let mut forms = Vec::new();
    if whole < LEAST {
        return forms;
    }
    let bytes = &secret.as_bytes()[..whole];
    for text in [Base64Unpadded::encode_string(bytes), Base64UrlUnpadded::encode_string(bytes)] {
        let text = Zeroizing::new(text);
        forms.push(Zeroizing::new(text.as_bytes().to_vec()));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_goes() {
        let secrets = Sent::default();
        secrets.password("mule", "canary/9 0\"c1ä");
        secrets.token("eyJjYW5hcnkiOiJ0b2tlbi0xMjM0NTY3ODkwIn0");
        secrets.proxy("http://carrier:can%40ry-77@proxy.example:3128");
        for form in [
            "canary/9 0\"c1ä",
            "CANARY/9 0\"C1ä",
            "canary%2F9%200%22c1%C3%A4",
            "canary%2f9+0%22c1%c3%a4",
            r#"canary/9 0\"c1ä"#,
            r#"canary\/9 0\"c1ä"#,
            // mule:canary/9 0"c1ä: padded, unpadded, and with a newline after it.
            "bXVsZTpjYW5hcnkvOSAwImMxw6Q=",
            "bXVsZTpjYW5hcnkvOSAwImMxw6Q",
            "bXVsZTpjYW5hcnkvOSAwImMxw6QK",
            "eyJjYW5hcnkiOiJ0b2tlbi0xMjM0NTY3ODkwIn0",
            "can%40ry-77",
            "can@ry-77",
        ] {
            let text = secrets.without(format!("registry h: \u{e4}{form} said so"));
            assert_eq!(text.matches(REDACTED).count(), 1, "{form}: {text}");
            for part in ["canary", "CANARY", "c1", "bXVs", "w6Q", "eyJj", "In0", "ry-77"] {
                assert!(!text.contains(part), "{form}: {text}");
            }
            assert!(text.starts_with("registry h: \u{e4}[") && text.ends_with(" said so"), "{form}: {text}");
        }
    }

    #[test]
    fn what_a_cut_leaves_of_a_secret_goes_and_words_stay() {
        let secrets = Sent::default();
        secrets.password("m", "registry-canary");
        let long = "x".repeat(30) + &"canary".repeat(200);
        secrets.token(&long);
        for cut in ["regist…", "registry-can)", "registry-cana", "registry-c\" more"] {
            let text = secrets.without(format!("found {cut}"));
            assert!(text.contains(REDACTED) && !text.contains("regist"), "{text}");
        }
        let shown = crate::base::fault::escape(&format!("{long} and more"));
        assert_eq!(secrets.without(format!("a {shown} b")), format!("a {REDACTED}… b"));
        for word in ["registry h: registry", "the registry refused", "", "ä…"] {
            assert_eq!(secrets.without(format!("{word} it")), format!("{word} it"));
        }
    }

    #[test]
    fn short_secrets_are_looked_for_as_they_are_sent() {
        let secrets = Sent::default();
        secrets.password("carrier", "x");
        assert_eq!(secrets.without("x marks it".to_owned()), "x marks it");
        assert_eq!(secrets.without("Basic Y2Fycmllcjp4".to_owned()), format!("Basic {REDACTED}"));
        assert_eq!(format!("{secrets:?}"), "Sent(redacted)");
    }
}
