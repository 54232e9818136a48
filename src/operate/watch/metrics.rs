//! The board as text for Prometheus. Pure.

use std::collections::BTreeMap;

use super::board::Entry;

/// Media type of the text.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric: its name, its type, its help, and its value for a pipeline, if it has one.
type Metric = (&'static str, &'static str, &'static str, fn(&Entry) -> Option<u64>);

const METRICS: [Metric; 14] = [
    ("looks_total", "counter", "Looks at the container.", |entry| Some(entry.looks)),
    ("failed_looks_total", "counter", "Looks that failed.", |entry| Some(entry.failed_looks)),
    ("imports_total", "counter", "Imports, also those that failed.", |entry| Some(entry.imports)),
    ("failed_imports_total", "counter", "Imports that failed.", |entry| Some(entry.failed_imports)),
    ("bundles_arriving", "gauge", "Bundles whose files are not all there.", |entry| Some(entry.arriving_count)),
    ("bundles_failed", "gauge", "Bundles that failed and are tried again later.", |entry| Some(entry.aside_count)),
    ("bundles_settled", "gauge", "Bundles in the container that were imported.", |entry| Some(entry.settled)),
    ("importing", "gauge", "Whether a bundle is being imported.", |entry| Some(u64::from(entry.importing.is_some()))),
    ("importing_since_seconds", "gauge", "When that import began, in seconds since 1970.", |entry| {
        entry.importing.as_ref().and_then(|(_, since)| u64::try_from(since.unix()).ok())
    }),
    ("source_present", "gauge", "Whether the directory of the pipeline is there.", |entry| {
        Some(u64::from(!entry.is_absent))
    }),
    ("last_look_failed", "gauge", "Whether the last look failed.", |entry| Some(u64::from(entry.error.is_some()))),
    ("last_look_seconds", "gauge", "When the last look that was answered began, in seconds since 1970.", |entry| {
        entry.looked.and_then(|(at, _)| u64::try_from(at.unix()).ok())
    }),
    ("last_look_milliseconds", "gauge", "Time that it took.", |entry| entry.looked.map(|(_, took)| took)),
    ("next_look_seconds", "gauge", "When the next look is, in seconds since 1970.", |entry| {
        entry.next.and_then(|at| u64::try_from(at.unix()).ok())
    }),
];

/// Returns the text.
pub(super) fn text(entries: &BTreeMap<String, Entry>) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        let name = format!("packmule_watch_{name}");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (pipeline, entry) in entries {
            if let Some(value) = value(entry) {
                text.push_str(&format!("{name}{{pipeline=\"{}\"}} {value}\n", label(pipeline)));
            }
        }
    }
    text
}

/// Escapes the value of a label.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Moment;

    #[test]
    fn t9_every_pipeline_has_its_numbers() {
        let at = Moment::from_unix(1_800_000_000);
        let entry = Entry { looks: 7, failed_looks: 2, aside_count: 3, next: at, ..Entry::default() };
        let entries = BTreeMap::from([("a\"b\\c\nd".to_owned(), entry), ("dark".to_owned(), Entry::default())]);
        let text = text(&entries);
        for line in [
            "packmule_watch_looks_total{pipeline=\"a\\\"b\\\\c\\nd\"} 7",
            "packmule_watch_failed_looks_total{pipeline=\"a\\\"b\\\\c\\nd\"} 2",
            "packmule_watch_bundles_failed{pipeline=\"a\\\"b\\\\c\\nd\"} 3",
            "packmule_watch_next_look_seconds{pipeline=\"a\\\"b\\\\c\\nd\"} 1800000000",
            "packmule_watch_looks_total{pipeline=\"dark\"} 0",
            "# TYPE packmule_watch_imports_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("packmule_watch_next_look_seconds{pipeline=\"dark\"}"));
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), METRICS.len());
    }
}
