//! Where there is no Unix: no program is started. Those that would run cannot be, which their types say.

use std::convert::Infallible;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{End, Failure, Kin, Limits, Surroundings};

/// A program that was started: none ever is.
#[derive(Debug)]
pub struct Running(Infallible);

/// Standard input and output of a program that was started: none ever is.
#[derive(Debug)]
pub struct Pipes(Infallible);

/// Starts nothing.
///
/// # Errors
/// [`Failure::Broken`].
pub fn start(_: &str, _: &[String], _: &Surroundings, _: Limits, _: Kin) -> Result<(Running, Pipes), Failure> {
    Err(Failure::Broken(io::ErrorKind::Unsupported.into()))
}

/// The signal that ended it: there are none.
pub const fn signal(_: ExitStatus) -> Option<i32> {
    None
}

impl Running {
    /// Whether it has ended.
    ///
    /// # Errors
    /// None.
    pub fn look(&mut self) -> io::Result<Option<End>> {
        match self.0 {}
    }

    /// Whether its time is over.
    pub fn is_late(&self) -> bool {
        match self.0 {}
    }

    /// Ends it.
    pub fn end(&mut self) {
        match self.0 {}
    }
}

impl Pipes {
    /// Gives and takes what can be given and taken now.
    ///
    /// # Errors
    /// None.
    pub fn step(&mut self, _: &[u8], _: Duration) -> io::Result<usize> {
        match self.0 {}
    }

    /// It is told no more.
    pub fn close(&mut self) {
        match self.0 {}
    }

    /// Whether it can still be told something.
    pub fn is_open(&self) -> bool {
        match self.0 {}
    }

    /// Whether it can still say something.
    pub fn is_speaking(&self) -> bool {
        match self.0 {}
    }

    /// Whether it said more than is kept.
    pub fn is_long(&self) -> bool {
        match self.0 {}
    }

    /// What it has said by now.
    pub fn said(&self) -> &[u8] {
        match self.0 {}
    }

    /// The same, when that was all.
    pub fn into_said(self) -> Zeroizing<Vec<u8>> {
        match self.0 {}
    }
}
