//! BUNDLE on the command line: finds and opens it. [`super::trust`] decides whose signatures count.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::container::{Address, is_container};
use super::place::Bundle;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::stream::{self, Bytes, Stream};
use crate::bundle::volumes::foreign_files::Beside;
use crate::bundle::{Name, Untrusted, locate, open_at, open_spread};
use crate::cli::Session;
use crate::cli::confine::confine;
use crate::cli::containers::{volumes, volumes_confined};
use crate::cli::world::World;
use crate::flow::Event;
use crate::system::pipe;

/// An open bundle: manifest and signatures were read, but not checked.
pub struct Opened {
    /// Manifest and signatures.
    pub head: Untrusted,
    /// Rest of the stream, if the bundle is one.
    pub rest: Option<Bytes>,
}

impl From<Untrusted> for Opened {
    fn from(head: Untrusted) -> Self {
        Self { head, rest: None }
    }
}

/// Opens the bundle that `text` names, in any form. Its volumes are also looked for in `dirs`. With
/// `confined`, the process confines itself to what it needs and these directories before it parses
/// the first byte.
///
/// # Errors
/// Those of [`crate::bundle::open()`] and [`stream::open`]; class usage for `dirs` with a stream.
pub fn open_any(
    text: impl AsRef<OsStr>,
    dirs: &[PathBuf],
    confined: Option<&[PathBuf]>,
    session: &mut Session<'_>,
) -> Result<Opened, Fault> {
    open_place(Bundle::parse(text, |path| session.path(path))?, dirs, confined, session)
}

/// Opens a bundle like [`open_any`].
///
/// # Errors
/// Those of [`open_any`].
pub fn open_place(
    place: Bundle,
    dirs: &[PathBuf],
    confined: Option<&[PathBuf]>,
    session: &mut Session<'_>,
) -> Result<Opened, Fault> {
    let text = place.to_string();
    let read: Bytes = match place {
        Bundle::Stdin if session.world.terminal.stdin => {
            let what = differs("bundle -", "a stream on standard input", "a terminal");
            return Err(Fault::new(Class::Usage, what).help("pipe it: packmule cat DIR/NAME | packmule verify -"));
        }
        Bundle::Stdin => {
            session.world.take_stdin().map_err(|error| crate::bundle::Error::io("standard input", &error))?
        }
        Bundle::Stream(path) => file(&session.path(&path))?,
        Bundle::Container(address, name) => {
            if !dirs.is_empty() {
                let what = format!("--volume-dir: {text} is a container, which holds its volumes");
                return Err(Fault::new(Class::Usage, what).help("leave out --volume-dir"));
            }
            let place = match confined {
                Some(beside) => volumes_confined(&address, &name, beside, session)?,
                None => volumes(&address, &name, session)?,
            };
            let head = open_at(place, name)?.learning(session.reports());
            return Ok(Opened { head, rest: None });
        }
        Bundle::Named { dir, name } => return files(&dir, &dir.join(format!("{name}.json")), dirs, confined, session),
        Bundle::In(dir) => return files(&dir, &dir, dirs, confined, session),
    };
    if !dirs.is_empty() {
        return Err(Fault::new(Class::Usage, format!("--volume-dir: {text} is a stream, which holds its volumes"))
            .help("leave out --volume-dir"));
    }
    if let Some(beside) = confined {
        // The stream is open already.
        confine(session, beside);
    }
    let Stream { head, rest } = stream::open(read, &session.flow)?;
    Ok(Opened { head: head.learning(session.reports()), rest: Some(rest) })
}

/// Opens the bundle at `path`, whose files lie in `dir` and `dirs`.
fn files(
    dir: &Path,
    path: &Path,
    dirs: &[PathBuf],
    confined: Option<&[PathBuf]>,
    session: &mut Session<'_>,
) -> Result<Opened, Fault> {
    let dirs: Vec<PathBuf> = dirs.iter().map(|dir| session.path(dir)).collect();
    if let Some(beside) = confined {
        confine(session, &[&[session.path(dir)], &dirs[..], beside].concat());
    }
    let head = open_spread(&session.path(path), dirs)?.learning(session.reports());
    tell_beside(&head, session);
    Ok(Opened { head, rest: None })
}

/// With `-v`, lists the files next to a bundle that are not part of it and are not opened.
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
    let text = format!("not part of bundle {}, and not opened: {}{more}", bundle.name(), names.join(", "));
    session.flow.event(Event::Detail(text));
}

/// Opens the bundle that `text` names, whose files must be in a directory or a container.
///
/// # Errors
/// Those of [`crate::bundle::open()`]; class usage for a stream.
pub fn open(text: impl AsRef<OsStr>, session: &Session<'_>) -> Result<Untrusted, Fault> {
    let text = text.as_ref();
    match Bundle::parse(text, |path| session.path(path))? {
        Bundle::Container(address, name) => open_at(volumes(&address, &name, session)?, name),
        _ => crate::bundle::open(&find(text, session)?),
    }
}

/// Refuses a bundle in a container as a further one of a confined command, which reads only the
/// first from another process.
///
/// # Errors
/// Class usage.
pub fn refuse_container(text: impl AsRef<OsStr>, option: &str) -> Result<(), Fault> {
    let text = text.as_ref();
    if !is_container(text) {
        return Ok(());
    }
    let address = Address::parse(text)?;
    Err(Fault::usage(format!("{option} {address}: expected files, found a container"), "download its NAME.json first"))
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
        // A file that is not a stream either gets the error that says so.
        Bundle::Stream(path) => {
            stream::open(file(&session.path(&path))?, &session.flow)?;
            Err(no_stream(text))
        }
        Bundle::Stdin => Err(no_stream(text)),
        Bundle::Container(address, name) => {
            let what = format!("bundle {address}/{name}: expected files in a directory, found a container");
            Err(Fault::new(Class::Usage, what).help("download it first: packmule download"))
        }
    }
}

/// Returns the name of the bundle that `text` names, without opening it.
///
/// # Errors
/// Class usage for a stream; those of [`locate`].
pub fn name_of(text: impl AsRef<OsStr>, session: &Session<'_>) -> Result<Name, Fault> {
    let text = text.as_ref();
    match Bundle::parse(text, |path| session.path(path))? {
        Bundle::Named { name, .. } => Ok(Name::new(&name)?),
        Bundle::In(dir) => Ok(locate(&session.path(&dir))?.1),
        Bundle::Container(_, name) => Ok(name),
        Bundle::Stream(_) | Bundle::Stdin => Err(no_stream(text)),
    }
}

fn file(path: &Path) -> Result<Bytes, crate::bundle::Error> {
    pipe::open(path).map_err(|error| crate::bundle::Error::io(path.display(), &error))
}

fn no_stream(text: &OsStr) -> Fault {
    let text = text.display();
    Fault::new(Class::Usage, differs(format_args!("bundle {text}"), "files in a directory", "a stream"))
        .help("write it to a directory first: tar x")
}

/// Returns whether a person at a terminal can change a medium.
pub const fn can_ask(world: &World) -> bool {
    world.terminal.stdin && world.terminal.stderr
}

/// Returns a function that asks on the terminal for the next medium.
pub fn asking(world: &mut World) -> impl FnMut(&str) -> bool + Send {
    |text: &str| {
        let text = format!("{}\ninsert the medium and press Enter, or press Ctrl-D to stop: ", escape(text));
        world.ask(&text).is_ok()
    }
}

/// Returns the directories that hold the files of the bundle that `text` names, which a confined
/// command may read. Empty if `text` names no bundle; [`open`] reports that.
pub fn directories(text: impl AsRef<OsStr>, session: &Session<'_>) -> Vec<PathBuf> {
    match Bundle::parse(text, |path| session.path(path)) {
        Ok(Bundle::Named { dir, .. } | Bundle::In(dir)) => vec![session.path(&dir)],
        Ok(Bundle::Stream(path)) => vec![session.path(&path)],
        Ok(Bundle::Stdin | Bundle::Container(..)) | Err(_) => Vec::new(),
    }
}
