//! One scanner and its result: content goes to its standard input, and only exit status 0 is clean.
//!
//! Knows neither blobs nor layers. The scanner's output is kept up to a limit and shown to people,
//! but never interpreted.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::starter::{Started, Starter};
use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::base::redact::Secrets;
use crate::flow::{Cancelled, Flow};
use crate::program::{self, End, Failure, Limits, Surroundings};

/// Number of bytes kept of a scanner's output.
const SAID: usize = 1024;
/// Number of characters kept of its version.
const VERSION: usize = 200;
/// Maximum time for printing its version.
const VERSION_TIME: Duration = Duration::from_secs(60);
/// Maximum time to wait on its pipes before checking for cancellation.
const WAIT: Duration = Duration::from_millis(50);

/// Options of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Scan the regular files of layers individually instead of the layers.
    pub files: bool,
    /// Maximum time that a scanner may take for one item, from its start.
    pub timeout: Duration,
    /// Start nothing new after the first finding.
    pub fail_fast: bool,
}

/// A scanner that can be started.
#[derive(Debug)]
pub struct Scanner {
    command: String,
    words: Vec<String>,
    options: Options,
    starter: Starter,
    at_once: usize,
}

/// Result of scanning one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Reason why it is not clean, or `None` if it is clean.
    pub problem: Option<Problem>,
    /// Beginning of the scanner's output.
    pub said: String,
}

/// Reason why something is not clean.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Problem {
    /// The scanner ended with this status, which is not 0: infected, a limit exceeded, or an error
    /// of the scanner.
    Exit(i32),
    /// A signal ended the scanner.
    Signal(i32),
    /// It exceeded this time limit, in seconds, and was ended.
    Timeout(u64),
    /// It could not be started, or failed.
    Failed(String),
    /// A layer that cannot be opened: not all of its files could be passed on.
    Unreadable(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "expected the scanner's exit status 0, found {status}"),
            Self::Signal(number) => write!(f, "expected the scanner's exit status 0, found its end by signal {number}"),
            Self::Timeout(seconds) => write!(f, "expected the scanner's end within {seconds} s, found none"),
            Self::Failed(why) => write!(f, "expected the scanner's exit status 0, found none: {why}"),
            Self::Unreadable(why) => write!(f, "expected a layer that can be looked into, found {why}"),
        }
    }
}

impl Scanner {
    /// Creates a scanner from `command`: words, split and quoted as in a shell, without any other
    /// shell features. Up to `at_once` of them run at the same time. The threads that start them
    /// are started here, so that the others may be confined afterwards.
    ///
    /// # Errors
    /// Class usage if `command` contains no program; class io.
    pub fn new(command: &str, options: Options, surroundings: &Surroundings, at_once: usize) -> Result<Self, Fault> {
        // The form shown and recorded. The scanner is started with the words as typed.
        let shown = Secrets::of(&["".into(), command.into()]).hide_all(command);
        let wrong = |problem: Description| {
            Fault::new(Class::Usage, problem.within(format_args!("--scan {shown:?}")))
                .help("name a program and its options, such as --scan 'clamdscan --no-summary -'")
        };
        let mut words = shell_words::split(command).map_err(|error| wrong(error.to_string().into()))?.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| wrong(differs("", "a program", "none")))?;
        let starter = Starter::new(&program, surroundings, at_once)
            .map_err(|error| Fault::new(Class::Io, differs("scanner", "a thread to start it", error)))?;
        Ok(Self { command: shown, words: words.collect(), options, starter, at_once: at_once.max(1) })
    }

    /// Returns the command as given, without secrets.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Returns the options.
    pub(super) const fn options(&self) -> Options {
        self.options
    }

    /// Returns how many may run at once.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Returns the version of the scanner and its database: the first line that it prints with
    /// `--version` added to its words, escaped. Returns `None` if it prints none or fails.
    ///
    /// # Errors
    /// Class policy if it cannot be started at all, since nothing would be clean.
    pub fn version(&self, flow: &Flow) -> Result<Option<String>, Fault> {
        let words = self.words.iter().cloned().chain(["--version".to_owned()]).collect();
        let limits = Limits { output: SAID, time: VERSION_TIME.min(self.options.timeout) };
        let started = self.starter.start(words, limits).map_err(|failure| {
            Fault::new(
                Class::Policy,
                differs(format_args!("--scan {}", self.command), "a scanner", format_args!("none: {failure}")),
            )
            .help("name a program that is in PATH, or by its path")
        })?;
        let answer = self.given(started).finish(flow)?;
        let line = answer.said.lines().map(str::trim).find(|line| !line.is_empty());
        Ok(line.filter(|_| answer.problem.is_none()).map(|line| escape(line).chars().take(VERSION).collect()))
    }

    /// Starts a scanner, which then receives content piece by piece.
    pub(super) fn begin(&self) -> Given<'_> {
        match self.starter.start(self.words.clone(), Limits { output: SAID, time: self.options.timeout }) {
            Ok(started) => self.given(started),
            Err(failure) => Given { scanner: self, started: None, end: Some(Err(failure)) },
        }
    }

    const fn given(&self, started: Started) -> Given<'_> {
        Given { scanner: self, started: Some(started), end: None }
    }
}

/// A running scanner that is receiving content. Ends the scanner when dropped.
pub(super) struct Given<'a> {
    scanner: &'a Scanner,
    started: Option<Started>,
    // How it ended, once known.
    end: Option<Result<Option<End>, Failure>>,
}

impl Given<'_> {
    /// Passes more content. It is not an error if the scanner stops reading or has ended; only its
    /// exit counts.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub(super) fn feed(&mut self, mut bytes: &[u8], flow: &Flow) -> Result<(), Cancelled> {
        while !bytes.is_empty() && self.end.is_none() {
            flow.check()?;
            let Some(started) = self.started.as_mut().filter(|started| started.pipes.is_open()) else { return Ok(()) };
            match started.pipes.step(bytes, WAIT) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.end = Some(Err(Failure::Broken(error))),
            }
            self.look();
        }
        Ok(())
    }

    fn look(&mut self) {
        let Some(started) = self.started.as_ref().filter(|_| self.end.is_none()) else { return };
        match started.end.try_recv() {
            Ok(end) => self.end = Some(Ok(end)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.end = Some(Ok(None)),
        }
    }

    /// Closes the input and waits for the scanner to end.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub(super) fn finish(mut self, flow: &Flow) -> Result<Answer, Cancelled> {
        if let Some(started) = &mut self.started {
            started.pipes.close();
        }
        while self.end.is_none() {
            flow.check()?;
            let Some(started) = &mut self.started else { break };
            if !started.pipes.is_speaking() {
                // It has closed its output, or ended.
                match started.end.recv_timeout(WAIT) {
                    Ok(end) => self.end = Some(Ok(end)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.end = Some(Ok(None)),
                }
                continue;
            }
            if let Err(error) = started.pipes.step(&[], WAIT) {
                self.end = Some(Err(Failure::Broken(error)));
            }
            self.look();
        }
        let problem = self.problem();
        Ok(Answer { problem, said: self.said() })
    }

    fn problem(&self) -> Option<Problem> {
        match &self.end {
            Some(Ok(Some(End::Exited(status)))) => match (status.code(), program::signal(*status)) {
                (Some(0), _) => None,
                (Some(code), _) => Some(Problem::Exit(code)),
                (None, signal) => Some(Problem::Signal(signal.unwrap_or_default())),
            },
            Some(Ok(Some(End::Slow))) => Some(Problem::Timeout(self.scanner.options.timeout.as_secs())),
            Some(Ok(None)) | None => Some(Problem::Failed("its end could not be observed".to_owned())),
            Some(Err(failure)) => Some(Problem::Failed(failure.to_string())),
        }
    }

    fn said(&mut self) -> String {
        let Some(mut started) = self.started.take() else { return String::new() };
        // Read the output that is still in the pipe.
        let _ = started.pipes.step(&[], Duration::ZERO);
        let mut said = String::from_utf8_lossy(started.pipes.said()).trim().to_owned();
        if started.pipes.is_long() {
            said.push('…');
        }
        said
    }
}

#[cfg(test)]
pub(in crate::scan) mod tests;
