//! Recognizes secrets by their form, in text from any source: a password before an `@`, signatures and
//! tokens in addresses, values after `--password`.

use std::borrow::Cow;
use std::ops::Range;

/// Replacement for a secret.
pub const HIDDEN: &str = "***";

/// Name endings that mark the value after `=` as a secret. Compared without `-` and `_`.
const ENDINGS: [&str; 13] = [
    "signature",
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "accountkey",
    "accesskey",
    "apikey",
    "authorization",
    "amzcredential",
    "googcredential",
    "pinvalue",
];
/// Short names that must match as a whole.
const WORDS: [&str; 7] = ["sig", "sas", "pwd", "pass", "pin", "auth", "bearer"];

/// Prefixes of places, which are not user names.
const PLACES: [&str; 5] = ["oci:", "docker-archive:", "bundle:", "file:", "storage:"];

/// Prefixes of well-known providers' tokens.
const TOKENS: [&str; 9] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "dckr_pat_", "dckr_oat_"];

/// One character of a word and its position. `%40` and `%2540` are decoded to `@`.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Character.
    pub(super) is: char,
    from: usize,
    to: usize,
}

/// Returns `text` with everything hidden that has the form of a secret.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut found = schemes(text);
    for word in words(text) {
        found.extend(
            secrets(&text[word.clone()]).into_iter().map(|range| word.start + range.start..word.start + range.end),
        );
    }
    without(text, found)
}

/// Like [`redact`], but treats `argument` as one word, whatever characters it contains.
pub fn redact_argument(argument: &str) -> Cow<'_, str> {
    let mut found = secrets(argument);
    found.extend(schemes(argument));
    without(argument, found)
}

/// Whether an argument contains something in the form of a secret.
pub fn has_secret(argument: &str) -> bool {
    !secrets(argument).is_empty() || !schemes(argument).is_empty()
}

fn without(text: &str, mut found: Vec<Range<usize>>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| (range.start, range.end));
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for range in found {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(HIDDEN);
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Returns the ranges of the words in a message. No secret extends beyond a word.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_end = |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '`' | '<' | '>');
    let mut at = 0;
    text.split(is_end).map(move |word| {
        let start = at;
        // A multi-byte separator is always white space.
        at = start + word.len() + text[start + word.len()..].chars().next().map_or(0, char::len_utf8);
        start..start + word.len()
    })
}

/// Returns the secrets in one word.
pub(super) fn secrets(word: &str) -> Vec<Range<usize>> {
    let units = units(word);
    let mut found: Vec<Range<usize>> = login(&units).into_iter().collect();
    found.extend(values(&units));
    found.extend(tokens(word));
    found.sort_by_key(|range| range.start);
    found
}

pub(super) fn units(word: &str) -> Vec<Unit> {
    let bytes = word.as_bytes();
    let mut units = Vec::with_capacity(word.len());
    let mut at = 0;
    while let Some(first) = word[at..].chars().next() {
        let mut digits = at + 1;
        // `%2540` is `%40`, encoded again.
        while first == '%' && bytes[digits..].starts_with(b"25") {
            digits += 2;
        }
        let code = (first == '%').then(|| word.get(digits..digits + 2)).flatten();
        let read = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(u8::is_ascii);
        let unit = match read {
            Some(byte) => Unit { is: byte.into(), from: at, to: digits + 2 },
            None => Unit { is: first, from: at, to: at + first.len_utf8() },
        };
        at = unit.to;
        units.push(unit);
    }
    units
}

fn starts_with(units: &[Unit], text: &str) -> bool {
    units.len() >= text.len() && units.iter().zip(text.chars()).all(|(unit, is)| unit.is.eq_ignore_ascii_case(&is))
}

/// Returns the range of `USER:PASSWORD` before the last `@` that does not start a digest. After a
/// scheme, everything before the `@` counts.
fn login(units: &[Unit]) -> Option<Range<usize>> {
    let is_login = |at: &usize| {
        let rest = &units[at + 1..];
        units[*at].is == '@' && !["sha256:", "sha512:"].iter().any(|name| starts_with(rest, name)) && !is_digest(rest)
    };
    let at = (0..units.len()).rev().find(is_login)?;
    let scheme = (0..at).find(|begin| starts_with(&units[*begin..], "://"));
    let start = match scheme {
        Some(begin) => begin + 3,
        None => {
            let begin = PLACES.iter().find(|place| starts_with(units, place)).map_or(0, |place| place.len());
            let colon = begin + units.get(begin..at)?.iter().position(|unit| unit.is == ':')?;
            // `--to=`, `as=`
            let before = units[begin..colon].iter().rposition(|unit| matches!(unit.is, '=' | ','));
            before.map_or(begin, |before| begin + before + 1)
        }
    };
    (start < at).then(|| units[start].from..units[at].from)
}

/// Whether this is `NAME:` and at least 32 hex digits.
fn is_digest(units: &[Unit]) -> bool {
    let Some(colon) = units.iter().position(|unit| unit.is == ':') else { return false };
    let hex = units[colon + 1..].iter().take_while(|unit| unit.is.is_ascii_hexdigit()).count();
    units[..colon].iter().all(|unit| unit.is.is_ascii_alphanumeric()) && hex >= 32
}

pub(super) fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    WORDS.contains(&name.as_str()) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Returns the value after names such as `sig=` and `--password=`, up to the end of the word.
fn values(units: &[Unit]) -> Option<Range<usize>> {
    let is_name = |unit: &&Unit| unit.is.is_ascii_alphanumeric() || matches!(unit.is, '-' | '_' | '.');
    // RFC 7512 calls the device a token.
    let is_key = (0..units.len()).any(|at| starts_with(&units[at..], "pkcs11:"));
    let at = (0..units.len()).filter(|at| units[*at].is == '=').find(|at| {
        let name: Vec<char> = units[..*at].iter().rev().take_while(is_name).map(|unit| unit.is).collect();
        let name: String = name.into_iter().rev().collect();
        is_secret(&name) && !(is_key && name == "token")
    })?;
    let (first, last) = (units.get(at + 1)?, units.last()?);
    Some(first.from..last.to)
}

/// Returns the tokens with a known prefix.
fn tokens(word: &str) -> Vec<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let length = |at: usize| word.as_bytes()[at..].iter().take_while(|byte| is_part(byte)).count();
    let known = TOKENS.iter().flat_map(|begin| word.match_indices(begin)).map(|(at, _)| at..at + length(at));
    // JSON Web Tokens: `{"` in base64, and two dots.
    let webs = word.match_indices("eyJ").map(|(at, _)| at..at + length(at));
    let webs = webs.filter(|range| range.len() > 30 && word[range.clone()].matches('.').count() == 2);
    known.filter(|range| range.len() > 10).chain(webs).collect()
}

/// Returns the second words of `Bearer TOKEN` and `Basic LOGIN`, as in headers.
fn schemes(text: &str) -> Vec<Range<usize>> {
    let all: Vec<Range<usize>> = words(text).filter(|word| !word.is_empty()).collect();
    let is_scheme = |word: &str| {
        let name = word.rsplit([':', '=', ',']).next().unwrap_or(word);
        name.eq_ignore_ascii_case("bearer") || name.eq_ignore_ascii_case("basic")
    };
    let is_token = |word: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let bare = word.trim_end_matches([',', ';']).trim_end_matches('=');
        // Exclude ordinary words, such as in "Bearer authentication".
        bare.len() >= 8
            && bare.bytes().all(is_part)
            && bare.bytes().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    };
    let pairs = all.windows(2).filter(|pair| is_scheme(&text[pair[0].clone()]) && is_token(&text[pair[1].clone()]));
    pairs.map(|pair| pair[1].clone()).collect()
}
