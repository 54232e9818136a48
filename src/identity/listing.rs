//! Whether a signature or a token may list a blob container: the smallest question that shows its right.
//!
//! For checks only; all work with containers is done elsewhere.

use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::cloud;
use super::web::{Answer, Ask, Web};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::origin;
use crate::network::secret_source::SecretSource;

/// Version of the protocol.
const VERSION: &str = "2021-12-02";

/// A right to a container.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// A shared access signature.
    Sas(&'a dyn SecretSource),
    /// A token.
    Bearer(&'a dyn SecretSource),
}

/// Returns the address of the container and the prefix of its names. On this machine the account is the first part of
/// the path, as emulators have it.
fn parts(address: &Url) -> Option<(Url, String)> {
    let path: Vec<&str> = address.path().split('/').filter(|part| !part.is_empty()).collect();
    let above = usize::from(origin::is_loopback(&origin::authority(address)));
    let (container, prefix) = path.split_at_checked(above + 1)?;
    let mut url = address.clone();
    url.set_path(&container.join("/"));
    let prefix: String = prefix.iter().map(|part| format!("{part}/")).collect();
    Some((url, prefix))
}

fn ask(web: &Web, subject: &str, address: &Url, right: Right<'_>, again: bool) -> Result<Answer, Error> {
    let wrong = |what: &str| Error::new(Kind::Policy, format!("{subject}: {what}")).help("correct the container's url");
    if !cloud::is_safe(address) {
        return Err(wrong("expected https, found another scheme"));
    }
    let (mut url, prefix) = parts(address).ok_or_else(|| wrong("expected a container in its address, found none"))?;
    url.query_pairs_mut()
        .append_pair("restype", "container")
        .append_pair("comp", "list")
        .append_pair("maxresults", "1")
        .append_pair("prefix", &prefix);
    let mut headers = vec![("x-ms-version", HeaderValue::from_static(VERSION))];
    match right {
        Right::Sas(source) => {
            let sas = source.read(again)?;
            web.learn(&sas);
            sas.split('&').filter_map(|part| part.strip_prefix("sig=")).for_each(|signature| web.learn(signature));
            let query = Zeroizing::new(format!("{}&{}", url.query().unwrap_or_default(), sas.trim_start_matches('?')));
            url.set_query(Some(&query));
        }
        Right::Bearer(source) => {
            let token = source.read(again)?;
            let value = HeaderValue::from_str(&Zeroizing::new(format!("Bearer {}", *token)));
            let mut value = value.map_err(|_| wrong("expected a token, found other bytes"))?;
            value.set_sensitive(true);
            headers.push(("Authorization", value));
        }
    }
    web.ask(subject, &Ask::with(url, headers))
}

/// Asks the container for the first of its names. A refused secret is read again, and tried once more.
///
/// # Errors
/// [`Kind::Denied`] without the right, [`Kind::Policy`] if the container is missing, those of the secret.
pub fn list(web: &Web, address: &Url, right: Right<'_>) -> Result<(), Error> {
    let subject = format!("container {}{}", escape(&origin::authority(address)), escape(address.path()));
    let mut answer = ask(web, &subject, address, right, false)?;
    if matches!(answer.status, 401 | 403) {
        answer = ask(web, &subject, address, right, true)?;
    }
    let code = answer.code.map_or(String::new(), |code| format!(", {code}"));
    let wrong = |kind, what: String, help: &str| Err(Error::new(kind, format!("{subject}: {what}")).help(help));
    match (answer.status, right) {
        (200, _) => Ok(()),
        (401 | 403, Right::Sas(_)) => wrong(
            Kind::Denied,
            format!("the signature may not list it: status {}{code}", answer.status),
            "make a signature with the rights r and l, that has begun and not ended, for https and this address",
        ),
        (401 | 403, Right::Bearer(_)) => wrong(
            Kind::Denied,
            format!("the identity may not list it: status {}{code}", answer.status),
            "grant the identity Storage Blob Data Reader or Contributor, and check the account's firewall",
        ),
        (404, _) => wrong(Kind::Policy, format!("missing{code}"), "create the container, or correct its name"),
        (status, _) => wrong(Kind::Failed, format!("status {status}{code}"), "try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_told_from_its_prefix() {
        let of = |text: &str| parts(&Url::parse(text).unwrap()).map(|(url, prefix)| (url.to_string(), prefix));
        assert_eq!(
            of("https://a.blob.core.windows.net/transfer/apps/x").unwrap(),
            ("https://a.blob.core.windows.net/transfer".to_owned(), "apps/x/".to_owned())
        );
        assert_eq!(of("https://a.blob.core.windows.net/c").unwrap().1, "");
        assert_eq!(
            of("http://127.0.0.1:10000/account/c/p").unwrap(),
            ("http://127.0.0.1:10000/account/c".to_owned(), "p/".to_owned())
        );
        assert!(of("http://127.0.0.1:10000/account").is_none() && of("https://a.example/").is_none());
    }
}
