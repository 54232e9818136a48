//! The watcher: goes from pipeline to pipeline, each in its interval, and has due bundles imported.
//!
//! One bundle at a time. What was imported and what failed is in the ledger before the next bundle
//! begins, so that a watcher that is killed anywhere repeats at most the last import, which then finds
//! everything there.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::board::Board;
use super::facts::Facts;
use super::find::release;
use super::look::{Found, Looked, Memory, look};
use super::pauses;
use super::site::{Pipeline, Ran, Site};
use crate::base::fault::{Class, Fault, escape};
use crate::base::redact::redact;
use crate::base::time::Moment;
use crate::bundle::Name;
use crate::flow::Flow;
use crate::state::Store;
use crate::state::runs::Failure;
use crate::state::watched::{Aside, Ledger, LedgerSeat, Settled};

/// Longest time until a watcher sees that it is to end.
const STEP: Duration = Duration::from_millis(200);
/// Number of failures of places in a row after which a look goes no further.
const IN_A_ROW: usize = 3;

/// A watcher.
pub struct Watcher<'a> {
    flow: &'a Flow,
    store: &'a Store,
    board: &'a Board,
    memories: HashMap<String, Memory>,
    // By source: the number of failures in a row, and the time of the flow's clock until which it is
    // left alone.
    pauses: HashMap<String, (u32, Duration)>,
}

impl<'a> Watcher<'a> {
    /// Makes a watcher that keeps its ledgers in `store` and shows what it does on `board`.
    pub fn new(store: &'a Store, board: &'a Board, flow: &'a Flow) -> Self {
        Self { flow, store, board, memories: HashMap::new(), pauses: HashMap::new() }
    }

    fn now(&self) -> Moment {
        Moment::clamped(self.flow.clock().unix())
    }

    fn after(&self, time: Duration) -> Moment {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Moment::clamped(self.flow.clock().unix().saturating_add(seconds))
    }

    /// Looks at every pipeline once. Returns what each look found, and the faults of looks and bundles.
    pub fn once(&mut self, pipelines: &[Pipeline], site: &mut dyn Site) -> (Vec<(String, Looked)>, Vec<Fault>) {
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        for pipeline in pipelines {
            if self.flow.is_cancelled() {
                break;
            }
            match self.look(pipeline, site, &mut faults) {
                Ok(looked) => {
                    if looked.is_absent {
                        let what = format!("{}: expected a directory, found none", escape(&pipeline.source));
                        faults.push(Fault::new(Class::Io, what).help("mount or make it"));
                    }
                    if looked.aside > 0 {
                        let what = format!("pipeline {}: {} bundles failed before", pipeline.name, looked.aside);
                        let help = "see the runs that failed: packmule runs list; each is tried again in time";
                        faults.push(Fault::new(Class::Partial, what).help(help));
                    }
                    all.push((pipeline.name.clone(), looked));
                }
                Err(fault) => faults.push(fault.within(format_args!("pipeline {}", pipeline.name))),
            }
        }
        (all, faults)
    }

    /// Looks at every pipeline in its interval until the flow is cancelled.
    pub fn run(&mut self, pipelines: &[Pipeline], site: &mut dyn Site) {
        let begin = self.flow.clock().elapsed();
        let mut next: Vec<Duration> = vec![begin; pipelines.len()];
        while let Some(at) = (0..pipelines.len()).min_by_key(|at| next[*at]) {
            while self.flow.clock().elapsed() < next[at] && !self.flow.is_cancelled() {
                self.flow.clock().sleep(STEP.min(next[at].saturating_sub(self.flow.clock().elapsed())));
            }
            if self.flow.is_cancelled() {
                return;
            }
            let pipeline = &pipelines[at];
            // A container that failed for another pipeline is left alone, too.
            let free = self.pauses.get(&pipeline.source).map_or(Duration::ZERO, |(_, until)| *until);
            let now = self.flow.clock().elapsed();
            if free > now {
                next[at] = free;
                self.announce(pipeline, free.saturating_sub(now));
                continue;
            }
            if let Err(fault) = self.look(pipeline, site, &mut Vec::new())
                && fault.class != Class::Lock
                && fault.class != Class::Cancelled
            {
                let text = escape(&redact(&fault.what));
                let line = format!("pipeline {}: {text}", pipeline.name);
                site.tell(&line, json!({ "event": "look_failed", "pipeline": pipeline.name, "error": text }));
            }
            let now = self.flow.clock().elapsed();
            let free = self.pauses.get(&pipeline.source).map_or(Duration::ZERO, |(_, until)| *until);
            next[at] = (now + pipeline.interval).max(free);
            self.announce(pipeline, next[at].saturating_sub(now));
        }
    }

    /// Shows when the next look is.
    fn announce(&self, pipeline: &Pipeline, wait: Duration) {
        let at = self.after(wait);
        self.board.change(&pipeline.name, |entry| entry.next = Some(at));
    }

    /// Makes one look and imports what is due. Faults of bundles go to `faults`.
    ///
    /// # Errors
    /// [`Class::Lock`] if another watcher with this state looks; those of the state and the container.
    pub fn look(&mut self, pipeline: &Pipeline, site: &mut dyn Site, faults: &mut Vec<Fault>) -> Result<Looked, Fault> {
        let seat = self.store.ledger(&pipeline.name)?;
        let ended = self.look_with(&seat, pipeline, site, faults);
        let counts_as_failure = ended.as_ref().is_err_and(|fault| fault.class != Class::Cancelled);
        self.board.change(&pipeline.name, |entry| {
            entry.looks += 1;
            entry.failed_looks += u64::from(counts_as_failure);
            entry.error = ended.as_ref().err().map(|fault| redact(&fault.what).into_owned());
        });
        if counts_as_failure {
            let failures = self.pauses.get(&pipeline.source).map_or(0, |(failures, _)| *failures) + 1;
            let pause = pauses::after(failures, pipeline.interval, pauses::CONTAINER);
            let until = self.flow.clock().elapsed() + pause;
            self.pauses.insert(pipeline.source.clone(), (failures, until));
        } else if ended.is_ok() {
            self.pauses.remove(&pipeline.source);
        }
        ended
    }

    fn look_with(
        &mut self,
        seat: &LedgerSeat,
        pipeline: &Pipeline,
        site: &mut dyn Site,
        faults: &mut Vec<Fault>,
    ) -> Result<Looked, Fault> {
        let (began, now) = (self.flow.clock().elapsed(), self.now());
        let mut ledger = load(seat, pipeline)?;
        let Some(container) = site.open(pipeline)? else {
            self.board.change(&pipeline.name, |entry| {
                (entry.is_absent, entry.looked) = (true, Some((now, 0)));
                entry.arriving.clear();
                entry.arriving_count = 0;
            });
            return Ok(Looked { is_absent: true, ..Looked::default() });
        };
        let memory = self.memories.entry(pipeline.name.clone()).or_default();
        let mut found = look(&*container, memory, &mut ledger, now, self.flow)?;
        if found.is_changed {
            seat.store(&mut ledger)?;
        }
        let took = self.flow.clock().elapsed().saturating_sub(began);
        self.show(pipeline, &found, &ledger, now, took);
        let mut looked = Looked {
            aside: found.aside,
            arriving: found.arriving.len() as u64,
            settled: found.settled,
            ..Looked::default()
        };
        let (due, mut in_a_row) = (std::mem::take(&mut found.due), 0);
        for (name, facts) in due {
            self.flow.check()?;
            let ran = self.import(pipeline, &name, site);
            let is_last =
                self.settle((pipeline, seat, &mut ledger), (&name, &facts, &found), ran, &mut looked, site, faults)?;
            in_a_row = if is_last { in_a_row + 1 } else { 0 };
            if in_a_row == IN_A_ROW {
                break;
            }
        }
        Ok(looked)
    }

    fn import(&self, pipeline: &Pipeline, name: &Name, site: &mut dyn Site) -> Ran {
        let since = self.now();
        let line = format!("pipeline {}: importing {}", pipeline.name, name.as_str());
        site.tell(&line, json!({ "event": "importing", "pipeline": pipeline.name, "bundle": name.as_str() }));
        self.board.change(&pipeline.name, |entry| entry.importing = Some((name.as_str().to_owned(), since)));
        let ran = site.import(pipeline, name);
        self.board.change(&pipeline.name, |entry| {
            entry.importing = None;
            entry.imports += 1;
            entry.failed_imports += u64::from(ran.ended.is_err());
        });
        ran
    }

    /// Writes the end of an import into the ledger. Returns whether a place or the configuration
    /// failed, rather than the bundle.
    fn settle(
        &self,
        (pipeline, seat, ledger): (&Pipeline, &LedgerSeat, &mut Ledger),
        (name, facts, found): (&Name, &Facts, &Found),
        ran: Ran,
        looked: &mut Looked,
        site: &mut dyn Site,
        faults: &mut Vec<Fault>,
    ) -> Result<bool, Fault> {
        let now = self.now();
        let candidate = found.candidates.get(name);
        let run = ran.run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default();
        let shown = name.as_str();
        let base = json!({ "pipeline": pipeline.name, "bundle": shown, "run": ran.run });
        let event = |event: &str| {
            let mut all = base.clone();
            all["event"] = event.into();
            all
        };
        let Err(fault) = ran.ended else {
            // Another bundle may have taken the name in the meantime: then only its id is settled.
            let id = ran.bundle.unwrap_or(facts.id);
            ledger.ids.insert(id, now);
            ledger.aside.remove(shown);
            if let Some(mark) = candidate.and_then(|one| one.mark(name)).filter(|_| id == facts.id) {
                ledger.names.insert(shown.to_owned(), Settled { id, mark });
            }
            release(ledger, now);
            seat.store(ledger)?;
            looked.imported += 1;
            site.tell(&format!("pipeline {}: imported {shown} {id}{run}", pipeline.name), event("imported"));
            self.show_ledger(pipeline, looked, ledger);
            return Ok(false);
        };
        if fault.class == Class::Cancelled {
            return Err(fault);
        }
        if fault.class == Class::Lock {
            // Another run works there: no failure of the bundle.
            faults.push(fault);
            return Ok(true);
        }
        let earlier = ledger.aside.get(shown).filter(|aside| aside.id == facts.id);
        let (tries, since) = earlier.map_or((1, now), |aside| (aside.tries.saturating_add(1), aside.since));
        let next = self.after(pauses::after(tries, pipeline.interval, pauses::BUNDLE));
        let files = candidate.map(super::find::Candidate::files_mark).unwrap_or_default();
        let error = Failure::of(&fault);
        let text = escape(&redact(&fault.what));
        site.tell(
            &format!("pipeline {}: put {shown} aside until {next}{run}: {text}", pipeline.name),
            event("put_aside"),
        );
        let aside = Aside { id: facts.id, files, since, tries, next, error, run: ran.run };
        ledger.aside.insert(shown.to_owned(), aside);
        ledger.names.remove(shown);
        seat.store(ledger)?;
        looked.failed += 1;
        self.show_ledger(pipeline, looked, ledger);
        // A usage fault is one of the configuration, and mostly hits every bundle.
        let is_place = matches!(fault.class, Class::Source | Class::Destination | Class::Io | Class::Usage);
        faults.push(fault.within(format_args!("bundle {shown}")));
        Ok(is_place)
    }

    /// Shows what a look found.
    fn show(&self, pipeline: &Pipeline, found: &Found, ledger: &Ledger, now: Moment, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.board.change(&pipeline.name, |entry| {
            (entry.is_absent, entry.error) = (false, None);
            entry.looked = Some((now, took));
            entry.arriving.clone_from(&found.arriving);
            entry.arriving_count = found.arriving.len() as u64;
            entry.settled = found.settled;
            entry.aside = ledger.aside.clone().into_iter().collect();
            entry.aside_count = ledger.aside.len() as u64;
        });
    }

    fn show_ledger(&self, pipeline: &Pipeline, looked: &Looked, ledger: &Ledger) {
        self.board.change(&pipeline.name, |entry| {
            entry.settled = looked.settled + looked.imported;
            entry.aside = ledger.aside.clone().into_iter().collect();
            entry.aside_count = ledger.aside.len() as u64;
        });
    }
}

/// Loads the ledger, without what does not count for this source or this destination.
fn load(seat: &LedgerSeat, pipeline: &Pipeline) -> Result<Ledger, Fault> {
    let Pipeline { name, source, target, .. } = pipeline;
    Ok(match seat.load()? {
        Some(ledger) if ledger.target == *target && ledger.source == *source => ledger,
        Some(earlier) if earlier.target == *target => {
            let mut ledger = Ledger::new(name, source, target);
            ledger.ids = earlier.ids;
            ledger
        }
        _ => Ledger::new(name, source, target),
    })
}
