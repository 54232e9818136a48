//! `--scan`: the scanner's options, which `verify` and `import` share, and how its results are
//! shown.
//!
//! The scanner is prepared before the command confines itself: the threads that start scanners stay
//! unconfined.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};

use super::place::Bundle;
use crate::base::fault::{Class, Fault, escape};
use crate::cli::Session;
use crate::flow::Event;
use crate::operate::report_data::SCAN;
use crate::report::{Check, Mark};
use crate::scan::{Options, Scanner, Summary, no_files};

/// Options for a scanner.
#[derive(clap::Args, Clone, Debug)]
pub struct Scan {
    /// Give each blob to the standard input of this program; only exit status 0 means clean. CMD is
    /// split into words and quoted as in a shell, but no shell runs it
    #[arg(long = "scan", id = "scan", value_name = "CMD")]
    command: Option<String>,
    /// Give the scanner each file in each layer instead of the layers
    #[arg(long = "scan-files", id = "scan_files", requires = "scan")]
    files: bool,
    /// Time that the scanner may take for one item before the item counts as not clean: 90s, 15m,
    /// 2h
    #[arg(long = "scan-timeout", id = "scan_timeout", value_name = "T", requires = "scan", value_parser = time, default_value = "15m")]
    timeout: Duration,
}

/// Parses a T: a number of seconds, minutes or hours.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90s, 15m or 2h".to_owned();
    let factor = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let number = text[..text.len() - 1].parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

impl Scan {
    /// Returns the scanner, if one was requested, for the bundle that `bundle` names.
    ///
    /// # Errors
    /// Class usage for an invalid command, or for files of layers in a stream.
    pub fn open(&self, bundle: &OsStr, fail_fast: bool, session: &Session<'_>) -> Result<Option<Scanner>, Fault> {
        let Some(command) = &self.command else { return Ok(None) };
        if self.files && is_stream(bundle, session) {
            return Err(no_files("a stream"));
        }
        let options = Options { files: self.files, timeout: self.timeout, fail_fast };
        let scanner = Scanner::new(command, options, &session.world.surroundings(), session.flow.cpus)?;
        session.flow.event(Event::Detail("not confined: what starts the scanner, and the scanner".to_owned()));
        Ok(Some(scanner))
    }

    /// Like [`Scan::open`], for content that is scanned before it is pushed.
    ///
    /// # Errors
    /// Those of [`Scan::open`]; class usage for a stream.
    pub fn before_a_push(&self, bundle: &OsStr, session: &Session<'_>) -> Result<Option<Scanner>, Fault> {
        if self.command.is_some() && is_stream(bundle, session) {
            let what = "--scan: everything is scanned before the first push, but a stream is read only once";
            return Err(
                Fault::new(Class::Usage, what).help("write the stream to a disk first (tar x), then import from there")
            );
        }
        self.open(bundle, false, session)
    }
}

fn is_stream(bundle: &OsStr, session: &Session<'_>) -> bool {
    matches!(Bundle::parse(bundle, |path| session.path(path)), Ok(Bundle::Stdin | Bundle::Stream(_)))
}

/// Adds a scan's results to the text and the JSON; does nothing without a scan.
pub fn tell(summary: Option<&Summary>, text: &mut String, result: &mut Value) {
    let Some(summary) = summary else { return };
    let version = summary.version.as_deref().unwrap_or("unknown version");
    let files = summary.files.map(|files| format!(", {files} files in layers")).unwrap_or_default();
    let found = match summary.findings.len() as u64 + summary.more {
        0 if summary.clean => "clean".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    text.push_str(&format!(
        "scanned    {} blobs{files} by {} ({}): {found}\n",
        summary.blobs,
        escape(&summary.scanner),
        escape(version)
    ));
    result["scan"] = json!(summary);
}

/// Returns the summary as a check of the report.
pub fn check(summary: &Summary) -> Check {
    let by =
        format!("{} ({})", escape(&summary.scanner), escape(summary.version.as_deref().unwrap_or("unknown version")));
    let files = summary.files.map(|files| format!(", {files} files in layers")).unwrap_or_default();
    let (result, found) = if summary.clean {
        (Mark::Passed, "nothing was found".to_owned())
    } else {
        (Mark::Failed, format!("{} findings", summary.findings.len() as u64 + summary.more))
    };
    let detail = format!("{by} looked at {} blobs{files}: {found}", summary.blobs);
    Check { name: SCAN.to_owned(), result, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u4_times_are_read() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "15", "0s", "-1m", "m", "1d", "1.5h", "é"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
