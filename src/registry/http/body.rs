//! The bodies of answers: read whole or in pieces, with their time, their share of the rate and their limit.
//!
//! Knows nothing of what they mean.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use super::exchange::Http;
use super::response::Answer;
use super::retry::{self, Trouble};
use super::runtime::Stop;
use crate::content::Kind;

/// Largest error body or token that is read.
pub(in crate::registry) const SMALL: u64 = 64 << 10;
/// Bytes a second, over the whole of a body, below which a server is not waited for.
const SLOWEST: u64 = 1 << 10;

/// How a body came so far, by the time that was spent waiting for it alone.
#[derive(Default)]
pub(in crate::registry) struct Drip {
    waited: Duration,
    bytes: u64,
}

impl Http {
    /// Reads an answer's body, at most `cap` bytes of a good one and [`SMALL`] of another.
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
                // The end; of a refusal the status says enough.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// Reads the next bytes of an answer, with their time and share of the rate.
    pub fn chunk(
        &self,
        response: &mut Response,
        drip: &mut Drip,
        subject: &str,
    ) -> Result<reqwest::Result<Option<Bytes>>, Trouble> {
        let permit = self.pace.enter(self.flow()).map_err(|_| self.stopped(subject, Stop::Cancelled))?;
        let begun = self.flow().clock().elapsed();
        let chunk = self.runtime.wait(self.settings.idle, response.chunk());
        drop(permit);
        let chunk = chunk.map_err(|stop| self.stopped(subject, stop))?;
        drip.waited += self.flow().clock().elapsed().saturating_sub(begun);
        if let Ok(Some(bytes)) = &chunk {
            drip.bytes += bytes.len() as u64;
            if drip.waited > self.settings.idle * 2 + Duration::from_secs(drip.bytes / SLOWEST) {
                let (bytes, waited) = (drip.bytes, drip.waited.as_secs());
                let what = format_args!("{subject}: {bytes} bytes in {waited} s, expected {SLOWEST} a second");
                return Err(Trouble::passing(self.error(Kind::Failed, what)));
            }
            self.spend(bytes.len() as u64)?;
        }
        Ok(chunk)
    }

    /// Turns a status that may pass into trouble; one that asks to slow down makes us slower.
    pub fn troubled(&self, response: Response, subject: &str) -> Trouble {
        let after = retry::retry_after(response.headers(), self.flow().clock().unix());
        let status = response.status().as_u16();
        if status == 429 || (status == 503 && after.is_some()) {
            self.pace.slower(self.flow(), &self.name, status, after);
        }
        match self.whole(response, SMALL, subject) {
            Ok(answer) => {
                let error = answer.refusal(&self.name, subject);
                Trouble { error, again: true, after, status: Some(status) }
            }
            Err(trouble) => trouble,
        }
    }
}
