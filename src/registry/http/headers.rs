//! Parsers for three response headers: `WWW-Authenticate`, `Link` and `Location`.
//!
//! The input is untrusted. The functions do no I/O and know nothing about logins.

use http_auth::ParamValue;
pub use reqwest::Url;

use super::origin;
use crate::base::fault::escape;
use crate::content::Kind;

/// Authentication that a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A login with every request.
    Basic,
    /// A token.
    Bearer {
        /// Address of the token server, http or https.
        realm: Url,
        /// Name of the registry at the token server.
        service: Option<String>,
    },
}

impl Challenge {
    /// Returns the best challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1): Bearer before
    /// Basic. `None` if it has no supported challenge or is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut best = None;
        for challenge in http_auth::parse_challenges(text).ok()? {
            let param = |name: &str| {
                let (_, value): &(_, ParamValue<'_>) =
                    challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
                Some(value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = param("realm").and_then(|realm| Url::parse(&realm).ok());
                if let Some(realm) = realm.filter(|realm| matches!(realm.scheme(), "http" | "https")) {
                    return Some(Self::Bearer { realm, service: param("service") });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                best = Some(Self::Basic);
            }
        }
        best
    }
}

/// Returns the unresolved target of the first `rel=next` in a `Link` header (RFC 8288).
pub fn next_link(text: &str) -> Option<&str> {
    let mut rest = text;
    // Targets may contain commas, so split at the brackets.
    while let Some(start) = rest.find('<') {
        let (target, behind) = rest[start + 1..].split_once('>')?;
        let end = behind.find('<').unwrap_or(behind.len());
        let is_next = behind[..end].split([';', ',']).any(|param| {
            param.split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            })
        });
        if is_next {
            return Some(target);
        }
        rest = &behind[end..];
    }
    None
}

/// Resolves the target of a `Link` against `page`. `None` if it has another origin.
pub fn next_page(page: &Url, target: &str) -> Option<Url> {
    page.join(target).ok().filter(|next| origin::same(next, page))
}

/// Resolves a `Location` against `from` and removes a login from it. Refuses to go from https to
/// http, or to a link-local or metadata address.
///
/// # Errors
/// [`Kind::Failed`] if it is not a valid address, [`Kind::Policy`] if it must not be followed; with
/// a description of the target.
pub fn hop(from: &Url, location: &[u8]) -> Result<Url, (Kind, String)> {
    let text = std::str::from_utf8(location).ok().filter(|text| text.is_ascii());
    let Some(mut next) = text.and_then(|text| from.join(text).ok()).filter(Url::has_host) else {
        return Err((Kind::Failed, "an invalid address".to_owned()));
    };
    // A login in the address would be sent.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    match (from.scheme(), next.scheme()) {
        ("http", "http") | (_, "https") => {}
        _ => return Err((Kind::Policy, format!("{} from https", escape(next.scheme())))),
    }
    if origin::is_forbidden(&next) {
        return Err((Kind::Policy, "a link-local or metadata address".to_owned()));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = Challenge::parse(r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#).unwrap();
        assert_eq!(bearer, Challenge::Bearer { realm: "https://a/t".parse().unwrap(), service: Some("s".to_owned()) });
        assert_eq!(Challenge::parse(r#"Basic realm="x""#), Some(Challenge::Basic));
        let both = Challenge::parse(r#"Basic realm="x", Bearer realm="https://a/t""#);
        assert!(matches!(both, Some(Challenge::Bearer { .. })));
        for none in ["", "Bearer", r#"Bearer realm="file:///etc/passwd""#, "Negotiate", "\"\""] {
            assert_eq!(Challenge::parse(none), None, "{none}");
        }
    }

    #[test]
    fn links_are_read() {
        assert_eq!(next_link(r#"</v2/a?n=1&last=b>; rel="next""#), Some("/v2/a?n=1&last=b"));
        assert_eq!(next_link("<x>; title=y; rel=next"), Some("x"));
        assert_eq!(next_link(r#"<a,b>; rel="prev", <c,d>; rel="next""#), Some("c,d"));
        for none in ["<x>; rel=prev", "x; rel=next", "<x; rel=next", ""] {
            assert_eq!(next_link(none), None, "{none}");
        }
    }

    #[test]
    fn pages_stay_on_their_origin() {
        let page = Url::parse("https://a:5000/v2/x/tags/list").unwrap();
        assert_eq!(next_page(&page, "list?n=1").unwrap().as_str(), "https://a:5000/v2/x/tags/list?n=1");
        for elsewhere in ["http://a:5000/", "//b/", "https://a/", "data:x", "//"] {
            assert_eq!(next_page(&page, elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_location_is_ascii() {
        let from = Url::parse("https://a/x").unwrap();
        assert_eq!(hop(&from, b"/\xc3\xa4").unwrap_err().0, Kind::Failed);
        assert_eq!(hop(&from, b"/%C3%A4").unwrap().as_str(), "https://a/%C3%A4");
    }
}
