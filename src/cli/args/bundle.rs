//! BUNDLE on the command line: finds and opens it. Whom to believe is [`super::trust`]'s.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::place::Bundle;
use crate::base::fault::{Class, Fault, escape};
use crate::bundle::stream::{self, Bytes, Stream};
use crate::bundle::volumes::foreign_files::Beside;
use crate::bundle::{Untrusted, open_spread};
use crate::cli::Session;
use crate::cli::confine::confine;
use crate::cli::world::World;
use crate::flow::Event;
use crate::system::pipe;

/// A bundle that was opened: manifest and signatures were read, nothing was judged.
pub struct Opened {
    /// Those two.
    pub head: Untrusted,
    /// What follows, where it is a stream.
    pub rest: Option<Bytes>,
}

impl From<Untrusted> for Opened {
    fn from(head: Untrusted) -> Self {
        Self { head, rest: None }
    }
}

/// Opens the bundle that `text` names, in whatever form it is. Its volumes are looked for in `dirs` too. With
/// `confined` the process is confined to what it needs, and to these directories, before the first byte is parsed.
///
/// # Errors
/// As [`crate::bundle::open()`] and [`stream::open`]; class usage for `dirs` beside a stream.
pub fn open_any(
    text: impl AsRef<OsStr>,
    dirs: &[PathBuf],
    confined: Option<&[PathBuf]>,
    session: &mut Session<'_>,
) -> Result<Opened, Fault> {
    let text = text.as_ref();
    let place = Bundle::parse(text, |path| session.path(path))?;
    let read: Bytes = match place {
        Bundle::Stdin if session.world.terminal.stdin => {
            let what = "bundle -: expected a stream on standard input, found a terminal";
            return Err(Fault::new(Class::Usage, what).help("pipe it: packmule cat DIR/NAME | packmule verify -"));
        }
        Bundle::Stdin => {
            session.world.take_stdin().map_err(|error| crate::bundle::Error::io("standard input", &error))?
        }
        Bundle::Stream(path) => file(&session.path(&path))?,
        Bundle::Named { dir, .. } | Bundle::In(dir) => {
            let dirs: Vec<PathBuf> = dirs.iter().map(|dir| session.path(dir)).collect();
            if let Some(beside) = confined {
                confine(session, &[&[session.path(&dir)], &dirs[..], beside].concat());
            }
            let head = open_spread(&find(text, session)?, dirs)?.learning(session.reports());
            tell_beside(&head, session);
            return Ok(Opened { head, rest: None });
        }
    };
    if !dirs.is_empty() {
        return Err(Fault::new(
            Class::Usage,
            format!("--volume-dir: {} is a stream, which holds its volumes", text.display()),
        )
        .help("leave --volume-dir away"));
    }
    if let Some(beside) = confined {
        // It is open already.
        confine(session, beside);
    }
    let Stream { head, rest } = stream::open(read, &session.flow)?;
    Ok(Opened { head: head.learning(session.reports()), rest: Some(rest) })
}

/// Tells under `-v` what lies next to a bundle and is not looked at: nobody vouches for it.
fn tell_beside(bundle: &Untrusted, session: &Session<'_>) {
    if session.globals.verbose == 0 {
        return;
    }
    let Beside { names, more } = bundle.beside();
    if names.is_empty() {
        return;
    }
    let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let text = format!("not of bundle {}, and not looked at: {}{more}", bundle.name(), names.join(", "));
    session.flow.event(Event::Detail(text));
}

/// Opens the bundle that `text` names, whose files lie in a directory.
///
/// # Errors
/// As [`crate::bundle::open()`]; class usage for a stream.
pub fn open(text: impl AsRef<OsStr>, session: &Session<'_>) -> Result<Untrusted, Fault> {
    crate::bundle::open(&find(text, session)?)
}

/// Returns the path of the bundle that `text` names, whose files lie in a directory.
///
/// # Errors
/// Class usage for a stream, class format for a file that is neither.
pub fn find(text: impl AsRef<OsStr>, session: &Session<'_>) -> Result<PathBuf, Fault> {
    let text = text.as_ref();
    match Bundle::parse(text, |path| session.path(path))? {
        Bundle::Named { dir, name } => Ok(session.path(&dir).join(format!("{name}.json"))),
        Bundle::In(dir) => Ok(session.path(&dir)),
        // A file that is no stream either is told so.
        Bundle::Stream(path) => {
            stream::open(file(&session.path(&path))?, &session.flow)?;
            Err(no_stream(text))
        }
        Bundle::Stdin => Err(no_stream(text)),
    }
}

fn file(path: &Path) -> Result<Bytes, crate::bundle::Error> {
    pipe::open(path).map_err(|error| crate::bundle::Error::io(path.display(), &error))
}

fn no_stream(text: &OsStr) -> Fault {
    let text = text.display();
    Fault::new(Class::Usage, format!("bundle {text}: expected files in a directory, found a stream"))
        .help("write it to a directory first: tar x")
}

/// Whether someone sits at a terminal who can change a medium.
pub const fn can_ask(world: &World) -> bool {
    world.terminal.stdin && world.terminal.stderr
}

/// Asks on the terminal for the next medium.
pub fn asking(world: &mut World) -> impl FnMut(&str) -> bool + Send {
    |text: &str| {
        let text = format!("{}\nput the medium in and press Enter, or end with Ctrl-D: ", escape(text));
        world.ask(&text).is_ok()
    }
}

/// The directories that hold the files of the bundle that `text` names: what a confined command may read. None
/// where `text` names no bundle, which [`open`] then says.
pub fn directories(text: impl AsRef<OsStr>, session: &Session<'_>) -> Vec<PathBuf> {
    match Bundle::parse(text, |path| session.path(path)) {
        Ok(Bundle::Named { dir, .. } | Bundle::In(dir)) => vec![session.path(&dir)],
        Ok(Bundle::Stream(path)) => vec![session.path(&path)],
        Ok(Bundle::Stdin) | Err(_) => Vec::new(),
    }
}
