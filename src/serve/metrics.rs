//! Counters, and their text for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

/// Media type of the text.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters of a server since its start.
#[derive(Default)]
pub(super) struct Metrics {
    /// Requests by the first digit of their status; index 0 counts odd ones.
    requests: [AtomicU64; 6],
    /// Bytes of bodies sent.
    bytes: AtomicU64,
    /// Bodies that broke off.
    broken: AtomicU64,
    /// Failures of places.
    failures: AtomicU64,
    /// Logins that were refused.
    refused: AtomicU64,
    /// Connections accepted.
    accepted: AtomicU64,
    /// Connections open now.
    open: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Metrics {
    /// Counts an answered request.
    pub(super) fn answered(&self, status: u16, bytes: u64, is_complete: bool) {
        let class = usize::from(status / 100);
        add(&self.requests[if class < 6 { class } else { 0 }], 1);
        add(&self.bytes, bytes);
        add(&self.broken, u64::from(!is_complete));
    }

    /// Counts a failure of a place.
    pub(super) fn failed(&self) {
        add(&self.failures, 1);
    }

    /// Counts a refused login.
    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    /// Counts a new connection.
    pub(super) fn opened(&self) {
        add(&self.accepted, 1);
        add(&self.open, 1);
    }

    /// Counts the end of a connection.
    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the text, with the number of repositories and tags.
    pub(super) fn text(&self, (repositories, tags): (usize, usize)) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = String::new();
        let mut about = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
            text.push_str(&format!("# HELP packmule_{name} {help}\n# TYPE packmule_{name} {kind}\n"));
            for (labels, value) in lines {
                text.push_str(&format!("packmule_{name}{labels} {value}\n"));
            }
        };
        let plain = |value: u64| vec![(String::new(), value)];
        let classes: Vec<(String, u64)> =
            (1..6).map(|class| (format!("{{status=\"{class}xx\"}}"), get(&self.requests[class]))).collect();
        about("requests_total", "counter", "Answered requests.", &classes);
        about("sent_bytes_total", "counter", "Bytes of bodies sent.", &plain(get(&self.bytes)));
        about("broken_bodies_total", "counter", "Bodies that broke off.", &plain(get(&self.broken)));
        about(
            "content_failures_total",
            "counter",
            "Content that could not be read, or was wrong.",
            &plain(get(&self.failures)),
        );
        about("refused_logins_total", "counter", "Logins that were refused.", &plain(get(&self.refused)));
        about("connections_total", "counter", "Accepted connections.", &plain(get(&self.accepted)));
        about("connections", "gauge", "Open connections.", &plain(get(&self.open)));
        about("repositories", "gauge", "Repositories served.", &plain(repositories as u64));
        about("tags", "gauge", "Tags served.", &plain(tags as u64));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted() {
        let metrics = Metrics::default();
        metrics.opened();
        metrics.answered(200, 5, true);
        metrics.answered(206, 7, false);
        metrics.answered(404, 0, true);
        metrics.refused();
        let text = metrics.text((2, 3));
        for line in [
            "packmule_requests_total{status=\"2xx\"} 2",
            "packmule_requests_total{status=\"4xx\"} 1",
            "packmule_sent_bytes_total 12",
            "packmule_broken_bodies_total 1",
            "packmule_refused_logins_total 1",
            "packmule_connections 1",
            "packmule_repositories 2",
            "packmule_tags 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let is_typed = |line: &&str| line.starts_with("# TYPE packmule_");
        assert_eq!(text.lines().filter(is_typed).count(), 9);
    }
}
