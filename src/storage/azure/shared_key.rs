//! Signatures of requests with the key of a storage account (Shared Key, version 2015-02-21 and
//! later).
//!
//! Pure: signs what it is given and sends nothing.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use sha2::Sha256;

/// Returns the value of `Authorization` for a request; `key` is the decoded key. `None` if the key
/// cannot be used.
pub(super) fn authorization(
    account: &str,
    key: &[u8],
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    length: u64,
) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text_to_sign(account, method, url, headers, length).as_bytes());
    Some(format!("SharedKey {account}:{}", Base64::encode_string(&mac.finalize().into_bytes())))
}

fn text_to_sign(account: &str, method: &Method, url: &Url, headers: &HeaderMap, length: u64) -> String {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let length = if length == 0 { String::new() } else { length.to_string() };
    let mut text = format!("{method}\n");
    for field in [
        value("content-encoding"),
        value("content-language"),
        &length,
        value("content-md5"),
        value("content-type"),
        // The date is in x-ms-date.
        "",
        value("if-modified-since"),
        value("if-match"),
        value("if-none-match"),
        value("if-unmodified-since"),
        value("range"),
    ] {
        text.push_str(field);
        text.push('\n');
    }
    let mut own: Vec<(&str, &str)> = headers
        .keys()
        .map(reqwest::header::HeaderName::as_str)
        .filter(|name| name.starts_with("x-ms-"))
        .map(|name| (name, value(name)))
        .collect();
    own.sort_unstable();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("/{account}{}", url.path()));
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (key.to_ascii_lowercase(), value.into_owned())).collect();
    query.sort_unstable();
    for (key, value) in query {
        text.push_str(&format!("\n{key}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_part_in_its_place() {
        let url = Url::parse("http://127.0.0.1:1/acc/c/a%20b?comp=block&blockid=AA%3D%3D").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ms-version", "2021-12-02"),
            ("x-ms-date", "Mon, 30 Nov 2026 00:00:00 GMT"),
            ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            ("range", "bytes=0-1"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let text = text_to_sign("acc", &Method::PUT, &url, &headers, 7);
        let expected = "PUT\n\n\n7\n1B2M2Y8AsgTpgAmY7PhCfg==\n\n\n\n\n\n\nbytes=0-1\n\
            x-ms-date:Mon, 30 Nov 2026 00:00:00 GMT\nx-ms-version:2021-12-02\n\
            /acc/acc/c/a%20b\nblockid:AA==\ncomp:block";
        assert_eq!(text, expected);
        assert!(text_to_sign("acc", &Method::GET, &url, &HeaderMap::new(), 0).starts_with("GET\n\n\n\n\n"));
        let signed = authorization("acc", b"key", &Method::PUT, &url, &headers, 7).unwrap();
        assert!(signed.starts_with("SharedKey acc:") && signed.len() == "SharedKey acc:".len() + 44);
    }
}
