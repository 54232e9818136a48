//! Parsers for three response headers: `WWW-Authenticate`, `Link` and `Location`.
//!
//! The input is untrusted. The functions do no I/O and know nothing about logins.

use http_auth::ParamValue;
pub use reqwest::Url;

use crate::base::fault::escape;
use crate::content::Kind;
use crate::network::origin;

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

    /// Returns the `scope` of the Bearer challenge of a `WWW-Authenticate` header, if it has one.
    pub fn scope(text: &str) -> Option<String> {
        let challenges = http_auth::parse_challenges(text).ok()?;
        let bearer = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
        let (_, scope) = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case("scope"))?;
        Some(scope.to_unescaped())
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

/// Start of the paths of the protocol.
const PROTOCOL: &str = "/v2/";
/// Part of the path of every upload session, after the repository.
const UPLOADS: &str = "/blobs/uploads/";

/// Returns the path and query of `named` at the server of `here`. A registry after a proxy often
/// names itself by an inner host, port or scheme.
fn at_home(here: &Url, named: &Url) -> Url {
    let mut url = here.clone();
    url.set_path(named.path());
    url.set_query(named.query());
    url.set_fragment(None);
    url
}

/// Resolves the target of a `Link` against `page`. A target of the protocol is always at the server
/// of `page`.
///
/// # Errors
/// A description of a target that has another origin and is none of the protocol.
pub fn next_page(page: &Url, target: &str) -> Result<Url, String> {
    match page.join(target) {
        Ok(next) if origin::same(&next, page) => Ok(next),
        Ok(next) if next.has_host() && next.path().starts_with(PROTOCOL) => Ok(at_home(page, &next)),
        Ok(next) if next.has_host() => Err(shown(&next)),
        _ => Err("an invalid address".to_owned()),
    }
}

/// Resolves a `Location` against `from`, wherever it leads, and removes a login from it.
fn joined(from: &Url, location: &[u8]) -> Option<Url> {
    let text = std::str::from_utf8(location).ok().filter(|text| text.is_ascii());
    let mut next = text.and_then(|text| from.join(text).ok()).filter(Url::has_host)?;
    // A login in the address would be sent.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    Some(next)
}

/// Returns the server of an address, for messages; its path and query may hold secrets.
fn shown(url: &Url) -> String {
    escape(&format!("{}://{}", url.scheme(), origin::authority(url)))
}

/// Resolves the `Location` of a redirect against `from`. A path of the protocol that differs in the
/// scheme only is at the server of `from`, unless that address is the one that redirects. Refuses to go from
/// https to http, or to a link-local or metadata address.
///
/// # Errors
/// [`Kind::Failed`] if it is not a valid address, [`Kind::Policy`] if it must not be followed; with
/// a description of the target.
pub fn hop(from: &Url, location: &[u8]) -> Result<Url, (Kind, String)> {
    let Some(next) = joined(from, location) else {
        return Err((Kind::Failed, "an invalid address".to_owned()));
    };
    // Another port of the scheme may be another server.
    let is_ours = from.host_str() == next.host_str()
        && (from.scheme() != next.scheme() || from.port_or_known_default() == next.port_or_known_default());
    if is_ours && next.path().starts_with(PROTOCOL) {
        let here = at_home(from, &next);
        if here != *from {
            return Ok(here);
        }
    }
    followed(from, next)
}

/// Resolves the `Location` of an upload session of the repository of `from`. A session of that
/// repository is at the server of `from`, whatever server is named; any other address is followed
/// like a redirect.
///
/// # Errors
/// Those of [`hop`].
pub fn session(from: &Url, location: &[u8]) -> Result<Url, (Kind, String)> {
    let Some(next) = joined(from, location) else {
        return Err((Kind::Failed, "an invalid address".to_owned()));
    };
    let uploads = from.path().find(UPLOADS).map(|at| &from.path()[..at + UPLOADS.len()]);
    let is_web = matches!(next.scheme(), "http" | "https");
    let here = at_home(from, &next);
    // The request that completes a session has its digest. A redirect of that to the same session
    // leads to another server of the registry.
    let is_redirected = here == *from && from.query_pairs().any(|(key, _)| key == "digest");
    if is_web && !is_redirected && uploads.is_some_and(|uploads| next.path().starts_with(uploads)) {
        return Ok(here);
    }
    followed(from, next)
}

fn followed(from: &Url, next: Url) -> Result<Url, (Kind, String)> {
    match (from.scheme(), next.scheme()) {
        ("http", "http") | (_, "https") => {}
        _ => return Err((Kind::Policy, format!("{}, which is not https", shown(&next)))),
    }
    if origin::is_forbidden(&next) {
        return Err((Kind::Policy, format!("{}, a link-local or metadata address", shown(&next))));
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
        let scope = Challenge::scope(r#"Basic realm="x", Bearer realm="https://a/t",scope="repository:x:pull,push""#);
        assert_eq!(scope.as_deref(), Some("repository:x:pull,push"));
        assert_eq!(Challenge::scope(r#"Basic realm="x""#), None);
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
        let home = "https://a:5000/v2/x/tags/list?n=1";
        for inner in [
            "list?n=1",
            "http://a:5000/v2/x/tags/list?n=1",
            "//b/v2/x/tags/list?n=1",
            "https://u:p@a/v2/x/tags/list?n=1#f",
        ] {
            assert_eq!(next_page(&page, inner).unwrap().as_str(), home, "{inner}");
        }
        for elsewhere in ["http://a:5000/", "//b/", "https://a/", "data:x", "//", "https://b/x?last=secret"] {
            let told = next_page(&page, elsewhere).unwrap_err();
            assert!(!told.contains("secret"), "{elsewhere}: {told}");
        }
    }

    #[test]
    fn a_session_of_the_registry_stays_at_its_address_and_any_other_does_not() {
        let at = |from: &str, to: &str| {
            session(&Url::parse(from).unwrap(), to.as_bytes()).map(|url| url.to_string()).map_err(|(kind, _)| kind)
        };
        let (from, home) =
            ("https://a:5000/v2/x/y/blobs/uploads/?mount=z", "https://a:5000/v2/x/y/blobs/uploads/1?s=2");
        for inner in ["http://b/", "http://a:5000/", "https://a/", "http://169.254.1.1:5000/", "/"] {
            let location = format!("{inner}v2/x/y/blobs/uploads/1?s=2");
            assert_eq!(at(from, &location).as_deref(), Ok(home), "{location}");
        }
        // The same session again.
        assert_eq!(at(home, "http://b/v2/x/y/blobs/uploads/1?s=2").as_deref(), Ok(home));
        for (elsewhere, kind) in [
            ("https://b/put?s=2", None),
            ("https://b/v2/other/blobs/uploads/1", None),
            ("http://b/put", Some(Kind::Policy)),
            ("https://169.254.169.254/x", Some(Kind::Policy)),
            ("ftp://b/v2/x/y/blobs/uploads/1", Some(Kind::Policy)),
        ] {
            let found = at(from, elsewhere);
            assert_eq!(found.as_ref().err().copied(), kind, "{elsewhere}");
            assert!(found.is_err() || found.as_deref() == Ok(elsewhere));
        }
        let closing = format!("{home}&digest=sha256:0");
        let other = closing.replace("a:5000", "node2");
        assert_eq!(at(&closing, &other), Ok(other), "a redirect of the content");
    }

    #[test]
    fn a_redirect_within_the_registry_stays_at_its_address() {
        let at = |from: &str, to: &str| {
            hop(&Url::parse(from).unwrap(), to.as_bytes()).map(|url| url.to_string()).map_err(|(kind, _)| kind)
        };
        let from = "https://a:5000/v2/x/blobs/1";
        for inner in ["http://a:5000/v2/x/blobs/1/", "http://a/v2/x/blobs/1/", "1/"] {
            assert_eq!(at(from, inner).as_deref(), Ok("https://a:5000/v2/x/blobs/1/"), "{inner}");
        }
        // Storage, another registry, another port for anything else, the same address by https.
        for other in ["https://s3/v2/x/blobs/1?X=1", "https://a:5001/v2/x/blobs/2", "https://a/data"] {
            assert_eq!(at(from, other).as_deref(), Ok(other));
        }
        assert_eq!(at("http://a/v2/x/blobs/1", "https://a/v2/x/blobs/1").as_deref(), Ok("https://a/v2/x/blobs/1"));
        assert_eq!(at(from, "http://a:5000/v2/x/blobs/1"), Err(Kind::Policy), "no way round a circle");
    }

    #[test]
    fn a_location_is_ascii() {
        let from = Url::parse("https://a/x").unwrap();
        assert_eq!(hop(&from, b"/\xc3\xa4").unwrap_err().0, Kind::Failed);
        assert_eq!(hop(&from, b"/%C3%A4").unwrap().as_str(), "https://a/%C3%A4");
    }
}
