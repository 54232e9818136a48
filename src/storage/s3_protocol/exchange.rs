//! Steps with a store: each is tried again by the class of its failure, waits when the store asks to slow down, and
//! ends when no byte moves within the idle time.
//!
//! Does not know what a step does.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::record::{Record, Reply};
use super::refusal::{self, Asked, Refusal};
use super::service::Service;
use super::store::{Opened, Product, Signer};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::{Cancelled, Event, Flow};
use crate::network::pace::Pace;
use crate::network::retry;
use crate::network::runtime::{Runtime, Stop};

/// A step: what it is about, and what is known of its content.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The object or container, for messages.
    pub subject: &'a str,
    /// MD5 of the content that is sent.
    pub md5: Option<[u8; 16]>,
    /// Number of bytes that the store must process before it answers.
    pub size: u64,
}

impl<'a> Step<'a> {
    /// Makes a step without content.
    pub fn of(subject: &'a str) -> Self {
        Self { subject, md5: None, size: 0 }
    }

    /// Makes a step that sends content.
    pub fn sending(subject: &'a str, md5: [u8; 16], size: usize) -> Self {
        Self { subject, md5: Some(md5), size: size as u64 }
    }
}

/// The tries of a step so far.
#[derive(Default)]
pub struct Tries {
    done: u32,
    renewed: bool,
    with: Option<Arc<Opened>>,
}

/// Everything that steps with one store need.
pub struct Exchange {
    /// The store.
    pub product: Box<dyn Product>,
    /// Sends requests.
    pub service: Service,
    /// Waits for them.
    pub runtime: Arc<Runtime>,
    /// Host and port of the store.
    pub home: String,
    /// Number of retries of a step.
    pub retries: u32,
    /// Limits the number of requests at once.
    pub pace: Pace,
    /// The store with the credentials that were last read.
    pub opened: Mutex<Option<Arc<Opened>>>,
}

impl Exchange {
    /// Returns the flow of the run.
    pub fn flow(&self) -> &Flow {
        &self.runtime.flow
    }

    fn opened(&self) -> Result<Arc<Opened>, Error> {
        let mut opened = lock(&self.opened);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let made = Arc::new(self.product.open(self.service.clone(), false)?);
        *opened = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Opens the store again, with credentials that are read again, unless another thread has done so since `old`.
    fn reopen(&self, old: &Arc<Opened>) -> Result<(), Error> {
        let mut opened = lock(&self.opened);
        if opened.as_ref().is_some_and(|now| Arc::ptr_eq(now, old)) {
            *opened = Some(Arc::new(self.product.open(self.service.clone(), true)?));
        }
        Ok(())
    }

    /// Tries a step until it succeeds or fails for good. Credentials that are refused are read again once.
    pub fn run<T>(
        &self,
        step: Step<'_>,
        mut work: impl AsyncFnMut(Arc<Opened>) -> object_store::Result<T>,
    ) -> Result<(T, Reply), Refusal> {
        let mut tries = Tries::default();
        loop {
            match self.once(step, &mut tries, &mut work) {
                Err(refusal) if self.goes_on(step, &mut tries, &refusal)? => {}
                done => return done,
            }
        }
    }

    /// Returns whether to try again after a failed try, and waits before that.
    pub fn goes_on(&self, step: Step<'_>, tries: &mut Tries, refusal: &Refusal) -> Result<bool, Error> {
        if refusal.credentials
            && !tries.renewed
            && let Some(old) = &tries.with
        {
            tries.renewed = true;
            self.reopen(old)?;
            return Ok(true);
        }
        if !refusal.again || tries.done >= self.retries {
            return Ok(false);
        }
        tries.done += 1;
        self.flow().event(Event::Detail(format!("{}; trying again", refusal.error.what)));
        if let Some(status) = refusal.status.filter(|status| retry::is_limit(*status)) {
            self.pace.slower(self.flow(), &step.subject, status, refusal.after);
        }
        retry::pause(self.flow(), retry::before(tries.done, refusal.after))?;
        Ok(true)
    }

    /// Tries a step once.
    pub fn once<T>(
        &self,
        step: Step<'_>,
        tries: &mut Tries,
        work: &mut impl AsyncFnMut(Arc<Opened>) -> object_store::Result<T>,
    ) -> Result<(T, Reply), Refusal> {
        let opened = self.opened()?;
        tries.with = Some(Arc::clone(&opened));
        self.pace.hold(self.flow())?;
        let permit = self.pace.enter(self.flow()).map_err(Error::from)?;
        let record = Record::sending(step.md5);
        let is_anonymous = matches!(opened.signer, Signer::Nobody);
        let outcome = self.watched(step, &record, work(opened));
        drop(permit);
        match outcome? {
            Ok(value) => {
                self.pace.well(self.flow(), &step.subject);
                Ok((value, record.reply()))
            }
            Err(error) => {
                let asked = Asked { home: &self.home, is_anonymous };
                Err(refusal::refusal(step.subject, asked, record.reply(), &error))
            }
        }
    }

    /// Waits for `future` as long as bytes move.
    fn watched<T>(&self, step: Step<'_>, record: &Arc<Record>, future: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut future = pin!(record.during(future));
        // The store may first hash and move what it was sent, at 16 MiB per second or faster.
        let idle = self.service.clients.settings().idle + Duration::from_secs(step.size >> 24);
        let mut moved = 0;
        loop {
            match self.runtime.wait(idle, future.as_mut()) {
                Ok(output) => return Ok(output),
                Err(Stop::Cancelled) => return Err(Refusal::last(Cancelled.into())),
                Err(Stop::Idle(time)) if record.bytes() == moved => {
                    let what = format!("{}: no data for {} s", step.subject, time.as_secs());
                    return Err(Refusal::passing(Error::new(Kind::Failed, what)));
                }
                Err(Stop::Idle(_)) => moved = record.bytes(),
            }
        }
    }
}
