//! Requests whose body is sent while it is read.
//!
//! Does not retry. A body that fails never reaches the registry complete.

use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH};

use super::exchange::Http;
use super::request::{Authorization, Request};
use crate::content::Error;
use crate::network::retry::{self, Trouble};
use crate::network::upload_body::{UploadBody, channel};

/// Reason for a failed upload.
pub(in crate::registry) enum Unsent {
    /// Reading the content failed.
    Content(Error),
    /// It is needed from a byte that has passed and is not kept.
    Passed,
    /// Sending to the registry failed.
    Trouble(Trouble),
}

impl From<Trouble> for Unsent {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Self::Trouble(Trouble::last(error))
    }
}

impl Http {
    /// Sends `request` with the next `length` bytes of `body` as its body.
    pub fn stream(
        &self,
        request: &Request,
        authorization: Option<&Authorization>,
        length: u64,
        body: &mut UploadBody<'_>,
    ) -> Result<Response, Unsent> {
        let most = self.piece();
        let first = body.piece(length.min(most)).map_err(Unsent::Content)?;
        if first.len() as u64 == length {
            let mut request = request.clone().header(CONTENT_LENGTH, &length.to_string());
            request.body = Some(first);
            return Ok(self.exchange(&request, authorization)?);
        }
        self.admit()?;
        let (sender, channel) = channel(length);
        let mut built = self
            .client(&request.url, false)?
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .header(CONTENT_LENGTH, length)
            .body(channel);
        if let Some(value) = authorization.and_then(|authorization| authorization.at(&request.url)) {
            built = built.header(AUTHORIZATION, value);
        }
        let mut answer = self.runtime.handle().spawn(built.send());
        let mut left = length;
        let mut piece = first;
        let stopped = loop {
            left -= piece.len() as u64;
            if let Err(error) = self.spend(piece.len() as u64) {
                break Some(Unsent::Trouble(error.into()));
            }
            match self.wait(self.settings.clients.idle, sender.send(piece)) {
                Ok(Ok(())) if left > 0 && !answer.is_finished() => {}
                // Everything was sent, or a response came early, or the connection broke.
                Ok(_) => break None,
                Err(stop) => break Some(Unsent::Trouble(self.stopped(&request.subject, stop))),
            }
            piece = match body.piece(left.min(most)) {
                Ok(piece) => piece,
                Err(error) => break Some(Unsent::Content(error)),
            };
        };
        // Closing the channel before `length` bytes went through aborts the request.
        drop(sender);
        if let Some(unsent) = stopped {
            answer.abort();
            return Err(unsent);
        }
        let response = match self.wait(self.patience(length), &mut answer) {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => return Err(self.broken(&request.url, &request.subject, &error).into()),
            Ok(Err(_)) => {
                return Err(retry::failed(format!("registry {}: {}: broke off", self.name, request.subject)).into());
            }
            Err(stop) => {
                answer.abort();
                return Err(self.stopped(&request.subject, stop).into());
            }
        };
        self.warn(response.headers());
        self.refused_by_proxy(&request.url, &request.subject, response.status())?;
        Ok(response)
    }
}
