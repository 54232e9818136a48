//! Systems other than Unix: starting a program always fails. The types of running programs have no
//! values.

use std::convert::Infallible;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{End, Failure, Kin, Limits, Surroundings};

/// A started program. Has no values.
#[derive(Debug)]
pub struct Running(Infallible);

/// Standard input and output of a started program. Has no values.
#[derive(Debug)]
pub struct Pipes(Infallible);

/// Always fails.
///
/// # Errors
/// [`Failure::Broken`].
pub fn start(_: &str, _: &[String], _: &Surroundings, _: Limits, _: Kin) -> Result<(Running, Pipes), Failure> {
    Err(Failure::Broken(io::ErrorKind::Unsupported.into()))
}

/// Returns `None`, since there are no signals.
pub const fn signal(_: ExitStatus) -> Option<i32> {
    None
}

impl Running {
    /// Reports whether the program has ended.
    ///
    /// # Errors
    /// None.
    pub fn look(&mut self) -> io::Result<Option<End>> {
        match self.0 {}
    }

    /// Reports whether the time limit has passed.
    pub fn is_late(&self) -> bool {
        match self.0 {}
    }

    /// Ends the program.
    pub fn end(&mut self) {
        match self.0 {}
    }
}

impl Pipes {
    /// Writes and reads what is possible now.
    ///
    /// # Errors
    /// None.
    pub fn step(&mut self, _: &[u8], _: Duration) -> io::Result<usize> {
        match self.0 {}
    }

    /// Closes the program's standard input.
    pub fn close(&mut self) {
        match self.0 {}
    }

    /// Reports whether the program's standard input is open.
    pub fn is_open(&self) -> bool {
        match self.0 {}
    }

    /// Reports whether the program's output is open.
    pub fn is_speaking(&self) -> bool {
        match self.0 {}
    }

    /// Reports whether the output exceeded the limit.
    pub fn is_long(&self) -> bool {
        match self.0 {}
    }

    /// Returns the output so far.
    pub fn said(&self) -> &[u8] {
        match self.0 {}
    }

    /// Returns the output.
    pub fn into_said(self) -> Zeroizing<Vec<u8>> {
        match self.0 {}
    }
}
