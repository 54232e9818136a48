//! Shared access signatures: what they permit, where and until when, read before any request.
//!
//! Knows only the text of the signature. `Debug` never shows it.

use std::fmt;

use jiff::Timestamp;
use jiff::civil;
use zeroize::Zeroizing;

use super::address::decoded;
use crate::base::time::Moment;
use crate::content::{Error, Kind};
use crate::storage::Needs;

/// Seconds by which the clock of whoever made a signature may be ahead of ours.
const SKEW: i64 = 300;

/// Resources that a signature is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// One container or directory (`sr=c`, `sr=d`).
    Container,
    /// One object, with the letter of its kind (`sr=b`, `bs`, `bv`).
    Object(String),
    /// An account: its services (`ss`) and types of resources (`srt`).
    Account { services: String, types: String },
}

/// A shared access signature.
pub(super) struct Sas {
    /// Its parameters, percent-encoded, without `?`.
    query: Zeroizing<String>,
    /// The signature itself, decoded.
    pub signature: Zeroizing<String>,
    /// Letters of its rights; `None` if a stored policy has them.
    rights: Option<String>,
    starts: Option<i64>,
    /// Second at which it ends; `None` if a stored policy says so.
    pub ends: Option<i64>,
    scope: Scope,
    is_https_only: bool,
    /// Addresses that it may be used from.
    pub addresses: Option<String>,
}

impl fmt::Debug for Sas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sas(redacted)")
    }
}

fn wrong(what: impl fmt::Display) -> Error {
    Error::new(Kind::Policy, format!("shared access signature: {what}"))
        .help("make a signature for the container, and store all of its text, from sv= or sp= on, in the place that sas names")
}

impl Sas {
    /// Parses a signature, with or without `?` or an address before it.
    ///
    /// # Errors
    /// [`Kind::Policy`] for a text that is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let text = text.rsplit_once('?').map_or(text, |(_, query)| query);
        let mut query = Zeroizing::new(String::new());
        let mut known: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(wrong("expected KEY=VALUE parts, found another"));
            };
            let value = Zeroizing::new(decoded(value).ok_or_else(|| wrong("expected UTF-8, found something else"))?);
            if !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(wrong("expected letters as names of its parts, found something else"));
            }
            if known.iter().any(|(other, _)| other == key) {
                return Err(wrong(format_args!("expected {key} once, found it twice")));
            }
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(key);
            query.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    query.push(char::from(byte));
                } else {
                    query.push_str(&format!("%{byte:02X}"));
                }
            }
            known.push((key.to_owned(), value));
        }
        let get = |name: &str| known.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string());
        let time = |name: &str| {
            get(name)
                .map(|text| {
                    moment(&text).ok_or_else(|| wrong(format_args!("{name}: expected a time, found another text")))
                })
                .transpose()
        };
        let signature = get("sig").filter(|sig| !sig.is_empty()).ok_or_else(|| wrong("expected sig, found none"))?;
        let has_policy = get("si").is_some();
        let (rights, ends) = (get("sp"), time("se")?);
        if !has_policy && (rights.is_none() || ends.is_none()) {
            return Err(wrong("expected sp and se, or si, found neither"));
        }
        let scope = match (get("ss"), get("srt"), get("sr")) {
            (Some(services), Some(types), _) => Scope::Account { services, types },
            (_, _, Some(resource)) if resource == "c" || resource == "d" => Scope::Container,
            (_, _, Some(resource)) => Scope::Object(resource),
            _ => return Err(wrong("expected sr, or ss and srt, found neither")),
        };
        let is_https_only = get("spr").is_some_and(|protocols| protocols == "https");
        let (starts, addresses) = (time("st")?, get("sip"));
        Ok(Self { signature: Zeroizing::new(signature), query, rights, starts, ends, scope, is_https_only, addresses })
    }

    /// Returns its parameters for the query of a request.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Returns everything that is missing in it for `needs` at `now`, each in the words of its parameters;
    /// empty if it is good as far as can be seen.
    pub fn missing(&self, needs: Needs, is_https: bool, now: i64) -> Vec<String> {
        let mut missing = Vec::new();
        let shown = |time: i64| Moment::from_unix(time).map_or_else(String::new, |moment| moment.to_string());
        if let Some(ends) = self.ends.filter(|ends| *ends <= now) {
            missing.push(format!("it ended at {} (se)", shown(ends)));
        }
        if let Some(starts) = self.starts.filter(|starts| *starts > now.saturating_add(SKEW)) {
            missing.push(format!("it begins at {} (st)", shown(starts)));
        }
        if self.is_https_only && !is_https {
            missing.push("it is only for https (spr)".to_owned());
        }
        let wanted = [
            // Blocks that are there and content after the commit are read.
            ('r', needs.read || needs.write, "read"),
            ('w', needs.write, "write"),
            ('l', needs.list, "list"),
            ('d', needs.remove, "delete"),
        ];
        if let Some(rights) = &self.rights {
            for (letter, _, word) in
                wanted.iter().filter(|(letter, is_wanted, _)| *is_wanted && !rights.contains(*letter))
            {
                missing.push(format!("the right {letter} to {word} (sp)"));
            }
        }
        match &self.scope {
            Scope::Container => {}
            Scope::Object(kind) => missing.push(format!("it is for one object (sr={kind}), not for the container")),
            Scope::Account { services, types } => {
                if !services.contains('b') {
                    missing.push("the blob service (ss)".to_owned());
                }
                if !types.contains('o') && (needs.read || needs.write || needs.remove) {
                    missing.push("objects (srt)".to_owned());
                }
                if !types.contains('c') && needs.list {
                    missing.push("containers, to list objects (srt)".to_owned());
                }
            }
        }
        missing
    }
}

/// Parses the times that signatures have: a date, or a date and time to the minute, second or
/// fraction, in UTC.
fn moment(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let local = text.strip_suffix('Z').unwrap_or(text);
    let local = local.parse::<civil::DateTime>().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn sas(text: &str) -> Sas {
        Sas::parse(&format!("{text}&sig=cana%2Bry%3D")).unwrap()
    }

    fn all() -> Needs {
        Needs { read: true, list: true, write: true, remove: true, bytes: 0 }
    }

    #[test]
    fn t14_a_question_mark_or_an_address_before_it_changes_nothing() {
        let plain = "sv=2021-12-02&sr=c&sp=rwla&se=2027-01-01T00:00:00Z&sig=a%2Bb%3D";
        for text in [plain.to_owned(), format!("?{plain}"), format!("https://a.blob.x/c?{plain}\n")] {
            assert_eq!(Sas::parse(&text).unwrap().query().replace("%3A", ":"), plain, "{text}");
        }
        let bare = Sas::parse("sr=c&sp=r&se=2027-01-01&sig=a+b/=").unwrap();
        assert!(bare.query().ends_with("sig=a%2Bb%2F%3D"), "a plus is a plus: {}", bare.query());
    }

    #[test]
    fn t14_each_thing_that_it_lacks_is_named() {
        let one = |text: &str, needs: Needs| sas(text).missing(needs, true, NOW).join("; ");
        let write = Needs { write: true, list: true, ..Needs::default() };
        let read = Needs { read: true, list: true, ..Needs::default() };
        assert_eq!(one("sr=c&sp=rwla&se=2027-01-01", write), "", "t13: nothing more is needed to write");
        assert_eq!(one("sr=c&sp=rl&se=2027-01-01", read), "", "t13: nor to read");
        assert_eq!(one("sr=c&sp=rl&se=2027-01-01", write), "the right w to write (sp)");
        assert_eq!(one("sr=c&sp=wa&se=2027-01-01", write), "the right r to read (sp); the right l to list (sp)");
        assert_eq!(one("sr=c&sp=rwl&se=2027-01-01", all()), "the right d to delete (sp)");
        assert_eq!(one("sr=b&sp=racwdl&se=2027-01-01", read), "it is for one object (sr=b), not for the container");
        assert_eq!(one("ss=bf&srt=sco&sp=rwdl&se=2027-01-01", all()), "");
        let of_account = one("ss=qt&srt=s&sp=rwdl&se=2027-01-01", all());
        assert_eq!(of_account, "the blob service (ss); objects (srt); containers, to list objects (srt)");
        assert_eq!(one("sr=c&si=stored", all()), "", "what a stored policy permits is not seen here");
    }

    #[test]
    fn t14_times_and_the_protocol_are_read() {
        let one = |text: &str, is_https| sas(text).missing(Needs::default(), is_https, NOW).join("; ");
        for ends in ["2026-09-21", "2026-09-21T14:13Z", "2026-09-21T14:13:20Z", "2026-09-21T14:13:19.1234567Z"] {
            assert!(one(&format!("sr=c&sp=r&se={ends}"), true).starts_with("it ended at 2026-09-21T"), "{ends}");
        }
        assert_eq!(one("sr=c&sp=r&se=2026-09-21T14:14Z", true), "");
        assert_eq!(one("sr=c&sp=r&st=2026-10-01&se=2027-01-01", true), "it begins at 2026-10-01T00:00:00Z (st)");
        assert_eq!(one("sr=c&sp=r&st=2026-09-21T14:15Z&se=2027-01-01", true), "", "another clock");
        assert_eq!(one("sr=c&sp=r&spr=https&se=2027-01-01", false), "it is only for https (spr)");
        assert_eq!(one("sr=c&sp=r&spr=https,http&se=2027-01-01", false), "");
        assert_eq!(sas("sr=c&sp=r&sip=192.0.2.1-192.0.2.9&se=2027-01-01").addresses.unwrap(), "192.0.2.1-192.0.2.9");
    }

    #[test]
    fn t14_what_is_none_is_refused_and_never_printed() {
        for text in [
            "",
            "canary",
            "sr=c&sp=r&se=2027-01-01",
            "sr=c&sp=r&sig=canary",
            "sr=c&se=2027-01-01&sig=canary",
            "sp=r&se=2027-01-01&sig=canary",
            "sr=c&sp=r&se=canary&sig=canary",
            "sr=c&sr=c&sp=r&se=2027-01-01&sig=canary",
            "sr=c&sp=r&se=2027-01-01&sig=%ff",
        ] {
            let error = Sas::parse(text).unwrap_err();
            assert_eq!(error.class, Kind::Policy, "{text}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        assert_eq!(format!("{:?}", sas("sr=c&sp=r&se=2027-01-01")), "Sas(redacted)");
    }
}
