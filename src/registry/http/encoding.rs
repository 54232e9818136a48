//! Detects bodies that were compressed in transit, although requests accept only identity.
//!
//! Digests are computed over the stored bytes, so nothing is decompressed here: a body that a proxy
//! compressed is an error. A body that is only labelled as compressed, as some storage labels
//! layers, is accepted unchanged.

use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::exchange::Http;
use super::response::Answer;
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::retry::Trouble;

/// Returns the content coding that a response declares, if any.
pub(in crate::registry) fn coding(headers: &HeaderMap) -> Option<String> {
    let all: Vec<String> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("unknown").split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty() && word != "identity")
        .collect();
    (!all.is_empty()).then(|| all.join(", "))
}

impl Http {
    /// Returns the error for an unexpected body that is labelled as compressed.
    pub fn compressed(&self, subject: &str, coding: &str) -> Error {
        let what = format_args!(
            "{subject}: a proxy compressed the answer (Content-Encoding: {}); expected the stored bytes, since digests are over identity bytes",
            escape(coding)
        );
        self.error(Kind::Mismatch, what).help("have the proxy in front of the registry pass responses on unchanged")
    }

    /// Refuses a compressed document or list. Both are JSON.
    pub fn plain(&self, answer: &Answer, subject: &str) -> Result<(), Trouble> {
        let Some(coding) = coding(&answer.headers) else { return Ok(()) };
        match answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None | Some(b'{' | b'[') => Ok(()),
            Some(_) => Err(Trouble::last(self.compressed(subject, &coding))),
        }
    }
}
