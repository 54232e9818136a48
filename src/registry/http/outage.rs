//! A registry that stops answering in the middle of a run: it is waited for, in sight of whoever runs the command, and
//! after that what needs it fails at once.
//!
//! Only for a registry that has answered in this run: a name that is typed wrong is not waited for.

use std::time::Duration;

use reqwest::Url;

use super::exchange::Http;
use super::health::Turn;
use crate::base::lock::lock;
use crate::content::Error;
use crate::flow::Event;
use crate::network::retry::{self, Trouble};

/// How often a waiting step looks whether the registry was found.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks for a registry that is waited for, at first; doubles.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// And at most.
const MOST_BETWEEN: Duration = Duration::from_secs(10);

impl Http {
    /// Waits until the registry may be sent a new request.
    pub fn admit(&self) -> Result<(), Trouble> {
        self.pace.hold(self.flow())?;
        loop {
            match self.health.before_request(self.flow().clock().elapsed()) {
                Turn::Go => return Ok(()),
                Turn::Wait => retry::pause(self.flow(), TICK)?,
                Turn::Fail(cause) => return Err(Trouble::last(cause)),
                Turn::Look => {
                    self.look_for()?;
                    self.health.found();
                }
            }
        }
    }

    /// Decides about a step that has used up its tries with `error`: `Ok` where the registry was away and is back, so that the
    /// step may be tried once more.
    pub fn outlast(&self, error: Error) -> Result<(), Error> {
        if !self.health.has_answered() {
            return Err(error);
        }
        match self.health.after_tries() {
            Turn::Go => Ok(()),
            Turn::Fail(cause) => Err(cause),
            Turn::Look => {
                let ended = self.seek(error);
                match &ended {
                    // The run was cancelled: nobody waits any more.
                    Err((_, false)) | Ok(()) => self.health.found(),
                    Err((cause, true)) => self.health.lost(cause, self.flow().clock().elapsed()),
                }
                ended.map_err(|(error, _)| error)
            }
            Turn::Wait => loop {
                retry::pause(self.flow(), TICK)?;
                match self.health.while_sought() {
                    Turn::Fail(cause) => return Err(cause),
                    Turn::Go => return Ok(()),
                    Turn::Look | Turn::Wait => {}
                }
            },
        }
    }

    /// Looks for the registry until it answers or the time for that is over. The error comes with whether the registry is
    /// away; where it answers, only the step has failed.
    fn seek(&self, error: Error) -> Result<(), (Error, bool)> {
        if self.look_for().is_ok() {
            self.health.count_used_up();
            return Err((error.reason(crate::base::fault::Reason::OnlyThis), false));
        }
        let now = || self.flow().clock().elapsed();
        let until = now().saturating_add(self.settings.retry_for);
        let mut between = FIRST_LOOK;
        for tries in 1_u32.. {
            let left = until.saturating_sub(now());
            if left.is_zero() {
                break;
            }
            self.flow().event(Event::Waiting { host: self.name.clone(), tries, left });
            retry::pause(self.flow(), between.min(left)).map_err(|cancelled| (cancelled, false))?;
            if self.look_for().is_ok() {
                self.flow().event(Event::Detail(format!("registry {}: answers again", self.name)));
                return Ok(());
            }
            between = (between * 2).min(MOST_BETWEEN);
        }
        let waited = self.settings.retry_for.as_secs();
        let what = if waited == 0 { error.what } else { format!("{}; waited {waited} s for it", error.what) };
        let error = Error { what: what.clone(), ..error }.caused_by(what, "");
        Err((error, true))
    }

    /// Asks the registry for a sign of life.
    fn look_for(&self) -> Result<(), Trouble> {
        let known: Option<Url> = lock(&self.base).clone();
        let Some(url) = known.and_then(|base| base.join("/v2/").ok()) else { return Ok(()) };
        self.pace.hold(self.flow())?;
        let sent = self.client(&url, false)?.get(url.clone()).send();
        let response = self.wait(self.settings.clients.idle, sent).map_err(|stop| self.stopped("ping", stop))?;
        let response = response.map_err(|error| self.broken(&url, "ping", &error))?;
        self.refused_by_proxy(&url, "ping", response.status())?;
        if retry::passes(response.status().as_u16()) {
            return Err(self.troubled(response, "ping"));
        }
        Ok(())
    }
}
