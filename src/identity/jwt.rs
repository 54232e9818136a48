//! Reads the names of an identity in its own token, for messages. Nothing here is verified or trusted: the service that
//! gets the token does that.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Deserialize;

/// Names in a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// Object id of the principal, which rights are granted to.
    #[serde(rename = "oid")]
    pub principal: Option<String>,
    /// Tenant of the principal.
    #[serde(rename = "tid")]
    pub tenant: Option<String>,
    /// Client id of the application or managed identity.
    #[serde(rename = "appid")]
    pub client: Option<String>,
}

/// Returns the names in a token; none if it has another form.
pub fn claims(token: &str) -> Claims {
    let read = || {
        let payload = token.split('.').nth(1)?;
        let bytes = Base64UrlUnpadded::decode_vec(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_is_read_from_the_token() {
        let payload = Base64UrlUnpadded::encode_string(br#"{"oid":"o-1","tid":"t-1","aud":"x","n":1}"#);
        let found = claims(&format!("aGVhZA.{payload}.c2ln"));
        assert_eq!(
            (found.principal.as_deref(), found.tenant.as_deref(), found.client),
            (Some("o-1"), Some("t-1"), None)
        );
        for other in ["", "opaque", "a.b", "a.!.c", "a.e30", "a..b"] {
            assert_eq!(claims(other), Claims::default(), "{other}");
        }
    }
}
