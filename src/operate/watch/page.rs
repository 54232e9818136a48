//! The pages of a watcher: health, metrics, and the status for people.

use std::sync::Arc;

use super::board::{Board, Entry};
use super::metrics;
use crate::base::time::Moment;
use crate::flow::Flow;
use crate::report::{WatchRun, Watched, WatchedBundle, WatchedPipeline, watched_html};
use crate::serve::Pages;
use crate::state::runs::{Run, Runs};

/// Number of runs on the page.
const RUNS: usize = 50;

/// Pages of a board and of the newest runs.
pub struct StatusPages {
    /// The board.
    pub board: Arc<Board>,
    /// Records of runs.
    pub runs: Runs,
    /// For the time.
    pub flow: Flow,
}

impl Pages for StatusPages {
    fn page(&self, path: &str) -> Option<(&'static str, String)> {
        match path {
            "/healthz" => Some(("text/plain; charset=utf-8", "ok\n".to_owned())),
            "/metrics" => Some((metrics::MEDIA_TYPE, metrics::text(&self.board.entries()))),
            "/" => Some(("text/html; charset=utf-8", self.html())),
            _ => None,
        }
    }
}

impl StatusPages {
    fn html(&self) -> String {
        let pipelines = self.board.entries().into_iter().map(|(name, entry)| pipeline(name, entry)).collect();
        let (runs, unread) = match self.runs.list(RUNS) {
            Ok(listing) => {
                let damaged: Vec<String> =
                    listing.damaged.iter().map(|(id, _)| format!("run {id} cannot be read")).collect();
                (listing.runs.iter().map(run).collect(), damaged)
            }
            Err(fault) => (Vec::new(), vec![fault.what]),
        };
        let now = Moment::clamped(self.flow.clock().unix()).to_string();
        watched_html(&Watched { now, pipelines, runs, unread })
    }
}

fn pipeline(name: String, entry: Entry) -> WatchedPipeline {
    let moment = |at: Moment| at.to_string();
    WatchedPipeline {
        name,
        source: entry.source,
        target: entry.target,
        is_absent: entry.is_absent,
        error: entry.error,
        looked: entry.looked.map(|(at, _)| moment(at)),
        next: entry.next.map(moment),
        importing: entry.importing.map(|(bundle, since)| (bundle, moment(since))),
        settled: entry.settled,
        arriving: entry.arriving.into_iter().map(|one| (one.name, one.why)).collect(),
        arriving_count: entry.arriving_count,
        failed: (entry.aside.into_iter())
            .map(|(name, aside)| WatchedBundle {
                name,
                id: aside.id.to_string(),
                class: aside.error.class,
                text: aside.error.text,
                tries: u64::from(aside.tries),
                since: moment(aside.since),
                next: moment(aside.next),
                run: aside.run.map(|id| id.to_string()),
            })
            .collect(),
        failed_count: entry.aside_count,
    }
}

fn run(run: &Run) -> WatchRun {
    WatchRun {
        id: run.id.to_string(),
        pipeline: run.pipeline.clone(),
        kind: run.kind.name(),
        state: run.state.name(),
        started: run.started.to_string(),
        ended: run.ended.map(|at| at.to_string()),
        bundle: run.name.clone(),
        bytes: run.bytes,
        error: run.error.as_ref().map(|error| (error.class.clone(), error.text.clone())),
    }
}
