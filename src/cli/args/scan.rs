//! `--scan`: the scanner's options, which `verify` and `import` share, and how its answer is told.
//!
//! The scanner is made ready before the command confines itself: the threads that start scanners stay outside.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};

use super::place::Bundle;
use super::time::time;
use crate::base::fault::{Class, Fault, escape};
use crate::cli::Session;
use crate::flow::Event;
use crate::operate::report_data::SCAN;
use crate::report::{Check, Mark};
use crate::scan::{Options, Scanner, Summary, no_files};

/// Content goes to a scanner.
#[derive(clap::Args, Clone, Debug)]
pub struct Scan {
    /// Give each blob to this program's standard input; only exit status 0 is clean. No shell: its words are parted
    /// and quoted as a shell does, and nothing else
    #[arg(long = "scan", id = "scan", value_name = "CMD")]
    command: Option<String>,
    /// Give the files in layers, one by one, in place of the layers
    #[arg(long = "scan-files", id = "scan_files", requires = "scan")]
    files: bool,
    /// How long the scanner may take over one thing, after which it is not clean: 90s, 15m, 2h
    #[arg(long = "scan-timeout", id = "scan_timeout", value_name = "T", requires = "scan", value_parser = time, default_value = "15m")]
    timeout: Duration,
}

impl Scan {
    /// The scanner, if one is asked for, for a look at the bundle that `bundle` names.
    ///
    /// # Errors
    /// Class usage for a command that is none, and for files of layers in a stream.
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

    /// The scanner, if one is asked for, for content that is pushed after the scan.
    ///
    /// # Errors
    /// Those of [`Scan::open`]; class usage for a stream.
    pub fn before_a_push(&self, bundle: &OsStr, session: &Session<'_>) -> Result<Option<Scanner>, Fault> {
        if self.command.is_some() && is_stream(bundle, session) {
            let what = "--scan: all is scanned before the first push, and a stream is read once";
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

/// Adds what a scan has brought to what is told; nothing where none was.
pub fn tell(summary: Option<&Summary>, text: &mut String, result: &mut Value) {
    let Some(summary) = summary else { return };
    let version = summary.version.as_deref().unwrap_or("version not told");
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
        format!("{} ({})", escape(&summary.scanner), escape(summary.version.as_deref().unwrap_or("version not told")));
    let files = summary.files.map(|files| format!(", {files} files in layers")).unwrap_or_default();
    let (result, found) = if summary.clean {
        (Mark::Passed, "nothing was found".to_owned())
    } else {
        (Mark::Failed, format!("{} findings", summary.findings.len() as u64 + summary.more))
    };
    let detail = format!("{by} looked at {} blobs{files}: {found}", summary.blobs);
    Check { name: SCAN.to_owned(), result, detail }
}
