//! Sends a form or a question to a token server, and reads the answer.
//!
//! The caller decides what may be sent to which server.

use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Url};
use zeroize::Zeroizing;

use super::authorization::Auth;
use crate::content::Kind;
use crate::network::retry::{self, Trouble};
use crate::registry::http::body::SMALL;
use crate::registry::http::exchange::Http;
use crate::registry::http::response::Answer;

/// Makes the body of a form.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut form = Zeroizing::new(String::new());
    for (key, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(key);
        form.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                form.push(char::from(byte));
            } else {
                form.push('%');
                form.push_str(&crate::oci::digest::encode_hex(&[byte]));
            }
        }
    }
    form
}

impl Auth {
    /// Sends `request` to a token server and returns its answer if that is a success.
    pub(super) fn ask(
        &self,
        http: &Http,
        request: RequestBuilder,
        address: &Url,
        subject: &str,
    ) -> Result<Answer, Trouble> {
        let response = http
            .wait(http.settings.clients.idle, request.header(ACCEPT, "application/json").send())
            .map_err(|stop| http.stopped(subject, stop))?
            .map_err(|error| http.broken(address, subject, &error))?;
        http.refused_by_proxy(address, subject, response.status())?;
        if retry::passes(response.status().as_u16()) {
            return Err(http.troubled(response, subject));
        }
        let answer = http.whole(response, SMALL, subject)?;
        if !answer.status.is_success() {
            let mut error = self.refusal(http, &answer, subject);
            if error.class == Kind::Absent || error.class == Kind::Refused {
                error.class = Kind::Denied;
            }
            return Err(Trouble { status: Some(answer.status.as_u16()), ..Trouble::last(error) });
        }
        http.plain(&answer, subject)?;
        Ok(answer)
    }
}
