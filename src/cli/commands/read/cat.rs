//! `cat`: a bundle as a stream on standard output, for a pipe, a tape or a diode. It judges nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::base::fault::{Class, Fault};
use crate::bundle::open_spread;
use crate::bundle::stream::{write, write_frames};
use crate::cli::Session;
use crate::cli::args::bundle::{directories, find};
use crate::cli::confine::confine;
use crate::cli::output::Outcome;

/// `cat BUNDLE > STREAM`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: OsString,
    /// The bytes of these frames alone, numbered as messages do: 3 or 5-9, commas between
    #[arg(long, value_name = "LIST")]
    frames: Option<String>,
    /// Another directory that holds volumes; repeat it for more
    #[arg(long = "volume-dir", value_name = "DIR")]
    volume_dirs: Vec<PathBuf>,
}

/// The most frames that a list may name: as many as a manifest can have.
const MOST: usize = 1 << 23;

fn frames(list: &str) -> Result<Vec<usize>, Fault> {
    let wrong = || {
        Fault::new(Class::Usage, format!("--frames {list:?}: expected numbers from 1 on, such as 3,5-9"))
            .help("take the numbers from the messages of verify")
    };
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| (1..=MOST).contains(number));
        let (from, to) = number(from).zip(number(to)).ok_or_else(wrong)?;
        if from > to || numbers.len() + (to - from) >= MOST {
            return Err(wrong());
        }
        numbers.extend(from..=to);
    }
    Ok(numbers)
}

impl Args {
    /// # Errors
    /// Class usage, format, integrity for a file that is not there or of another length, io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let usage = |what: &str, help: &str| Err(Fault::new(Class::Usage, what).help(help));
        if session.globals.json {
            return usage("cat: standard output is the stream, there is no room for --json", "leave --json away");
        }
        if session.world.terminal.stdout {
            return usage(
                "cat: expected a pipe or a file as standard output, found a terminal",
                "write: packmule cat DIR/NAME > FILE",
            );
        }
        let wanted = self.frames.as_deref().map(frames).transpose()?;
        let dirs: Vec<PathBuf> = self.volume_dirs.iter().map(|dir| session.path(dir)).collect();
        // What is written goes to what is open.
        confine(session, &[directories(&self.bundle, session), dirs.clone()].concat());
        let bundle = open_spread(&find(&self.bundle, session)?, dirs)?;
        match wanted {
            Some(wanted) => write_frames(&bundle, &wanted, &session.flow, &mut session.world.stdout)?,
            None => write(&bundle, &session.flow, &mut session.world.stdout)?,
        }
        Ok(Outcome::new("", Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_frames() {
        assert_eq!(frames("3,5-7,1").unwrap(), [3, 5, 6, 7, 1]);
        for wrong in ["", "0", "3-", "-3", "5-3", "1,,2", "a", "1-99999999999", "1-8388608,1-8388608"] {
            assert_eq!(frames(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }
}
