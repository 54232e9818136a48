//! Findings of a scan for results, receipts and reports (`spec/scan.md`), and the resulting faults.
//!
//! Starts nothing and reads nothing.

use serde::{Deserialize, Serialize};

use super::coverage::{Coverage, Found};
use super::scanner::{Problem, Scanner};
use super::uses::{Used, Uses};
use crate::base::fault::{Class, Fault, escape};
use crate::oci::{Artifact, Digest};

/// Maximum number of characters of a path, and of a scanner's output, in a message.
const SHOWN: usize = 80;

/// Result of a scan: the scanner, how much it was given, and what it found (`spec/scan.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Command line of the scanner as given, without secrets.
    pub scanner: String,
    /// First line that the scanner prints for `--version`, escaped, at most 200 characters: its
    /// version and its database's. `None` if it prints none.
    pub version: Option<String>,
    /// Whether everything was scanned and nothing was found.
    pub clean: bool,
    /// Number of scanned blobs.
    pub blobs: u64,
    /// Number of layers' regular files that were scanned individually. `None` if layers were
    /// scanned as a whole.
    pub files: Option<u64>,
    /// Total size in bytes of the scanned blobs.
    pub bytes: u64,
    /// Findings in the order of their blobs.
    pub findings: Vec<Finding>,
    /// Number of findings that are not listed.
    pub more: u64,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Blob.
    pub blob: Digest,
    /// Path of the file in the blob if it is a layer. Not escaped, at most 4,096 characters.
    pub path: Option<String>,
    /// Artifacts that use the blob, at most 20.
    pub artifacts: Vec<Used>,
    /// Whether more artifacts use it than are listed.
    pub others: bool,
    /// Problem.
    pub problem: Problem,
    /// Beginning of the scanner's output, at most 1 KiB, not escaped.
    pub said: String,
}

impl Summary {
    /// Ends the count and names the artifacts that use each finding's blob.
    ///
    /// # Errors
    /// Class bug if a blob was not scanned exactly once and in full.
    pub(super) fn of(
        scanner: &Scanner,
        version: Option<String>,
        coverage: Coverage,
        uses: &Uses,
        artifacts: &[Artifact],
    ) -> Result<Self, Fault> {
        let closed = coverage.close()?;
        let mut named: Option<(Digest, (Vec<Used>, bool))> = None;
        let mut findings = Vec::with_capacity(closed.found.len());
        for Found { blob, path, problem, said } in closed.found {
            // They are in the order of their blobs.
            if named.as_ref().is_none_or(|(digest, _)| *digest != blob) {
                named = Some((blob, uses.of(blob, artifacts)));
            }
            let (artifacts, others) = named.as_ref().map(|(_, used)| used.clone()).unwrap_or_default();
            findings.push(Finding { blob, path, artifacts, others, problem, said });
        }
        Ok(Self {
            scanner: scanner.command().to_owned(),
            version,
            clean: findings.is_empty() && closed.more == 0,
            blobs: closed.blobs,
            files: scanner.options().files.then_some(closed.files),
            bytes: closed.bytes,
            findings,
            more: closed.more,
        })
    }

    /// Returns the findings as a fault of class policy, or `None` if everything is clean.
    pub fn fault(&self) -> Option<Fault> {
        let mut faults: Vec<Fault> = self.findings.iter().map(Finding::fault).collect();
        if self.more > 0 {
            faults.push(Fault::new(Class::Policy, format!("scan: {} more findings, which are not listed", self.more)));
        }
        if faults.is_empty() && !self.clean {
            faults.push(Fault::new(Class::Bug, "internal error: scan: not clean, and nothing found"));
        }
        Fault::from_list(faults)
    }
}

impl Finding {
    fn fault(&self) -> Fault {
        let short = |text: &str| {
            let all = escape(text);
            let shown: String = all.chars().take(SHOWN).collect();
            if shown.len() < all.len() { shown + "…" } else { shown }
        };
        let file = self.path.as_ref().map(|path| format!(", file {}", short(path))).unwrap_or_default();
        let of = self.artifacts.first().map(|one| {
            let tags: String = one.tags.first().map(|tag| format!(":{tag}")).unwrap_or_default();
            let more = if self.artifacts.len() > 1 || self.others { " and others" } else { "" };
            format!("; in {}{tags}{more}", one.repository)
        });
        let said = self.said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = if said.is_empty() { said } else { format!(" ({})", short(&said)) };
        let what = format!("scan: blob {}{file}: {}{said}{}", self.blob, self.problem, of.unwrap_or_default());
        Fault::new(Class::Policy, what).help(match self.problem {
            Problem::Timeout(_) => "give the scanner more time with --scan-timeout, or ask who made the artifact",
            Problem::Failed(_) | Problem::Signal(_) => "run the scanner by hand and see why it ends",
            Problem::Unreadable(_) => "ask who made the artifact for a layer that can be looked into",
            Problem::Exit(_) => "look up what the scanner's exit status means; take what it found to who made it",
        })
    }
}
