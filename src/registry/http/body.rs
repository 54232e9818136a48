//! Reads response bodies, whole or in pieces, under time, rate and size limits.
//!
//! Does not interpret them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use super::exchange::Http;
use super::response::Answer;
use crate::content::Kind;
use crate::network::retry::{self, Trouble};
use crate::network::runtime::Stop;

/// Maximum size of an error body or token response, in bytes.
pub(in crate::registry) const SMALL: u64 = 64 << 10;
/// Minimum rate of a body as a whole, in bytes per second.
const SLOWEST: u64 = 1 << 10;

/// Progress of a body: the bytes read, and the time spent waiting for them.
#[derive(Default)]
pub(in crate::registry) struct Drip {
    waited: Duration,
    bytes: u64,
}

impl Http {
    /// Reads the whole body of a response: at most `cap` bytes of a successful one, [`SMALL`] of
    /// any other.
    pub fn whole(&self, mut response: Response, cap: u64, subject: &str) -> Result<Answer, Trouble> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let good = status.is_success();
        let cap = if good { cap } else { SMALL };
        let mut body = BytesMut::new();
        let url = response.url().clone();
        let mut drip = Drip::default();
        loop {
            let chunk = self.chunk(&mut response, &mut drip, subject)?;
            match chunk {
                Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > cap => {
                    if good {
                        let what = format_args!("{subject}: expected at most {cap} bytes, found more");
                        return Err(Trouble::last(self.error(Kind::Mismatch, what)));
                    }
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) if good => return Err(self.broken(&url, subject, &error)),
                // The end. For a refusal the status is enough.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// Reads the next bytes of a response, under the time and rate limits.
    pub fn chunk(
        &self,
        response: &mut Response,
        drip: &mut Drip,
        subject: &str,
    ) -> Result<reqwest::Result<Option<Bytes>>, Trouble> {
        let permit = self.pace.enter(self.flow()).map_err(|_| self.stopped(subject, Stop::Cancelled))?;
        let begun = self.flow().clock().elapsed();
        let chunk = self.runtime.wait(self.settings.clients.idle, response.chunk());
        drop(permit);
        let chunk = chunk.map_err(|stop| self.stopped(subject, stop))?;
        drip.waited += self.flow().clock().elapsed().saturating_sub(begun);
        if let Ok(Some(bytes)) = &chunk {
            drip.bytes += bytes.len() as u64;
            if drip.waited > self.settings.clients.idle * 2 + Duration::from_secs(drip.bytes / SLOWEST) {
                let (bytes, waited) = (drip.bytes, drip.waited.as_secs());
                let what = format_args!("{subject}: {bytes} bytes in {waited} s, expected {SLOWEST} a second");
                return Err(Trouble::passing(self.error(Kind::Failed, what)));
            }
            self.spend(bytes.len() as u64)?;
        }
        Ok(chunk)
    }

    /// Converts a temporary failure status to [`Trouble`]. Lowers the pace if the status asks to
    /// slow down.
    pub fn troubled(&self, response: Response, subject: &str) -> Trouble {
        let after = retry::retry_after(response.headers(), self.flow().clock().unix());
        let status = response.status().as_u16();
        if status == 429 || (status == 503 && after.is_some()) {
            self.pace.slower(self.flow(), &self.name, status, after);
        }
        match self.whole(response, SMALL, subject) {
            Ok(answer) => {
                let error = answer.refusal(&self.name, subject);
                Trouble { error, again: !answer.is_final(), after, status: Some(status) }
            }
            Err(trouble) => trouble,
        }
    }
}
