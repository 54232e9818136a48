//! Bodies that come otherwise than they were asked for: compressed on the way, though only identity is accepted.
//!
//! A digest is one of the bytes as they are stored. Nothing is unpacked here: a body that a proxy compressed is told as such,
//! and one that merely says that it is compressed, as storage does of layers, is taken for what it is.

use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::exchange::Http;
use super::response::Answer;
use super::retry::Trouble;
use crate::base::fault::escape;
use crate::content::{Error, Kind};

/// Returns the coding that an answer says its body has, if any.
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
    /// Returns the error of a body that is not what it should be and says that it is compressed.
    pub fn compressed(&self, subject: &str, coding: &str) -> Error {
        let what = format_args!(
            "{subject}: a proxy compressed the answer (Content-Encoding: {}); expected it as it is stored, as digests are over identity bytes",
            escape(coding)
        );
        self.error(Kind::Mismatch, what)
            .help("let whatever stands between here and the registry pass answers on unchanged")
    }

    /// Refuses a document or list, which are JSON, that comes compressed.
    pub fn plain(&self, answer: &Answer, subject: &str) -> Result<(), Trouble> {
        let Some(coding) = coding(&answer.headers) else { return Ok(()) };
        match answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None | Some(b'{' | b'[') => Ok(()),
            Some(_) => Err(Trouble::last(self.compressed(subject, &coding))),
        }
    }
}
