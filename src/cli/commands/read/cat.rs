//! `cat`: writes a bundle to standard output as a stream, for a pipe, a tape or a diode. It does
//! not verify anything.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::base::fault::{Class, Fault};
use crate::bundle::open_spread;
use crate::bundle::stream::{write, write_frames};
use crate::cli::Session;
use crate::cli::args::bundle::{directories, find, open_any};
use crate::cli::args::container::is_container;
use crate::cli::confine::confine;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;

/// `cat BUNDLE > STREAM`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, a directory with one bundle, or CONTAINER/NAME
    bundle: OsString,
    /// Write only the bytes of these frames, numbered as in messages: 3 or 5-9, separated by commas
    #[arg(long, value_name = "LIST")]
    frames: Option<String>,
    /// Further directory to look for volumes in; repeatable
    #[arg(long = "volume-dir", value_name = "DIR")]
    volume_dirs: Vec<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// Maximum number of frames in a list: as many as a manifest can have.
const MOST: usize = 1 << 23;

fn frames(list: &str) -> Result<Vec<usize>, Fault> {
    let wrong = || {
        Fault::new(Class::Usage, format!("--frames {list:?}: expected numbers from 1 upward, such as 3,5-9"))
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
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage, format; class integrity for a file that is missing or has another length; class
    /// io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let usage = |what: &str, help: &str| Err(Fault::new(Class::Usage, what).help(help));
        if session.globals.json {
            return usage("cat: expected no --json, since standard output holds the stream", "leave out --json");
        }
        if session.world.terminal.stdout {
            return usage(
                "cat: expected a pipe or a file as standard output, found a terminal",
                "write: packmule cat DIR/NAME > FILE",
            );
        }
        let wanted = self.frames.as_deref().map(frames).transpose()?;
        let dirs: Vec<PathBuf> = self.volume_dirs.iter().map(|dir| session.path(dir)).collect();
        session.reach = self.reach;
        // The output goes to a file that is already open.
        let bundle = if is_container(&self.bundle) {
            open_any(&self.bundle, &dirs, Some(&[]), session)?.head
        } else {
            confine(session, &[directories(&self.bundle, session), dirs.clone()].concat());
            open_spread(&find(&self.bundle, session)?, dirs)?
        };
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
