//! Parses the query of a request. Keys that are not known are ignored, as other registries do.

use super::path::decode;
use crate::oci::Digest;

/// The keys that this server knows. Of a repeated key the first counts, except `artifactType`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `n`: maximum number of entries.
    pub n: Option<usize>,
    /// `last`: entries after this one.
    pub last: Option<String>,
    /// `artifactType`, repeatable: only referrers of these types.
    pub types: Vec<String>,
    /// `ns`: host whose mirror this server is asked as.
    pub ns: Option<String>,
    /// `after`: referrers after this one; from our own `Link`.
    pub after: Option<Digest>,
}

/// Error: a broken escape, or `n` or `after` with another form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueryError(pub &'static str);

impl Query {
    /// Parses the text after `?`.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !["n", "last", "artifactType", "ns", "after"].contains(&key) {
                continue;
            }
            let value = decode(&value.replace('+', " ")).ok_or(QueryError("query: broken percent-encoding"))?;
            match key {
                "n" => {
                    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                    let number = is_number.then(|| value.parse().unwrap_or(usize::MAX));
                    query.n = query.n.or(Some(number.ok_or(QueryError("n: expected a number"))?));
                }
                "last" => query.last = query.last.or(Some(value)),
                "artifactType" => query.types.push(value),
                "ns" => query.ns = query.ns.or(Some(value)),
                _ => query.after = Some(value.parse().map_err(|_| QueryError("after: expected a digest"))?),
            }
        }
        Ok(query)
    }
}

/// Encodes a value for a query.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_read_and_others_ignored() {
        let query = Query::parse("n=5&last=a%2Fb&x=%zz&ns=docker.io&artifactType=a%2Bb&artifactType=c&").unwrap();
        let types = vec!["a+b".to_owned(), "c".to_owned()];
        let expected = Query { n: Some(5), last: Some("a/b".into()), types, ns: Some("docker.io".into()), after: None };
        assert_eq!(query, expected);
        assert_eq!(Query::parse("").unwrap(), Query::default());
        assert_eq!(Query::parse("n=99999999999999999999999").unwrap().n, Some(usize::MAX));
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in ["n=", "n=-1", "n=x", "n=+1", "last=%f", "artifactType=%ff", "after=x"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_itself() {
        for text in ["a/b", "a+b c&d=é%", "\u{202e}\n"] {
            assert_eq!(Query::parse(&format!("last={}", encode(text))).unwrap().last.as_deref(), Some(text));
        }
    }
}
