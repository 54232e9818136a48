//! The files of a bundle through two pipes, so that the process that parses them needs no network and
//! no secret.
//!
//! One side ([`serve`]) holds the files and answers; the other ([`PipedVolumes`]) asks, one question
//! at a time. A question is an operation, a name, an offset and a length. An answer begins with a
//! byte for its kind. Integers are little-endian. Both sides are the same program, but neither
//! trusts a length above its limit.

use std::io::{self, Read, Write};
use std::sync::Mutex;

use crate::base::fault::Class;
use crate::base::lock::lock;
use crate::content::volumes::{Entry, Volumes};
use crate::content::{Error, Kind};
use crate::flow::Flow;

/// Maximum length of a name or a message in bytes.
const TEXT: u32 = 1 << 16;
/// Maximum number of bytes that are asked for at once.
const BYTES: usize = 4 << 20;

const SIZE: u8 = 1;
const READ: u8 = 2;
const LIST: u8 = 3;

const FAILED: u8 = 0;
const DONE: u8 = 1;
const ENTRY: u8 = 2;

/// Both ends of the connection to the other process.
struct Channel {
    to: Box<dyn Write + Send>,
    from: Box<dyn Read + Send>,
    flow: Flow,
    // An answer was not read to its end.
    is_broken: bool,
}

/// Files that another process holds.
pub struct PipedVolumes {
    channel: Mutex<Channel>,
    place: String,
}

/// A question.
struct Question {
    operation: u8,
    name: String,
    offset: u64,
    length: u32,
}

fn broken(error: &io::Error) -> Error {
    let what = format!("container: the process that reads it ended early: {error}");
    Error::new(Kind::Content(Class::Source), what)
        .help("run the command again; use `packmule download` and verify the copy if that fails too")
}

impl Channel {
    /// Fills the buffer. A pipe that pauses is waited for, unless the run is cancelled.
    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        self.is_broken = true;
        while !buffer.is_empty() {
            match self.from.read(buffer) {
                Ok(0) => return Err(broken(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => self.flow.check()?,
                    _ => return Err(broken(&error)),
                },
            }
        }
        self.is_broken = false;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let mut byte = [0];
        self.fill(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<String, Error> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length).min(TEXT);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn ask(&mut self, question: &Question) -> Result<(), Error> {
        if self.is_broken {
            return Err(broken(&io::ErrorKind::BrokenPipe.into()));
        }
        let mut bytes = vec![question.operation];
        put_text(&mut bytes, &question.name);
        bytes.extend(question.offset.to_le_bytes());
        bytes.extend(question.length.to_le_bytes());
        self.to.write_all(&bytes).and_then(|()| self.to.flush()).map_err(|error| broken(&error))
    }

    /// Reads the first byte of an answer, and the rest if it is an error.
    fn answer(&mut self) -> Result<u8, Error> {
        match self.byte()? {
            FAILED => {
                let kind = kind_of(self.byte()?);
                let (what, help) = (self.text()?, self.text()?);
                let error = Error::new(kind, what);
                Err(if help.is_empty() { error } else { error.help(help) })
            }
            kind => Ok(kind),
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // The other side replaces a character that is cut.
    let cut = &text.as_bytes()[..text.len().min(usize::try_from(TEXT).unwrap_or(usize::MAX))];
    bytes.extend(u32::try_from(cut.len()).unwrap_or(TEXT).to_le_bytes());
    bytes.extend(cut);
}

/// Kinds of errors, by their numbers in answers.
const KINDS: [Kind; 12] = [
    Kind::Absent,
    Kind::Denied,
    Kind::Refused,
    Kind::Failed,
    Kind::Mismatch,
    Kind::Policy,
    Kind::Io,
    Kind::Cancelled,
    Kind::Content(Class::Source),
    Kind::Content(Class::Usage),
    Kind::Content(Class::Integrity),
    Kind::Content(Class::Bug),
];

fn kind_of(number: u8) -> Kind {
    KINDS.get(usize::from(number)).copied().unwrap_or(Kind::Content(Class::Source))
}

fn number_of(kind: Kind) -> u8 {
    let source = Kind::Content(Class::Source);
    let index = KINDS.iter().position(|one| *one == kind).or_else(|| KINDS.iter().position(|one| *one == source));
    index.and_then(|index| u8::try_from(index).ok()).unwrap_or_default()
}

impl PipedVolumes {
    /// Waits for the other process to open the files, which were not asked for yet. Nothing is
    /// written before that.
    ///
    /// # Errors
    /// Those of opening them, with their class; [`Class::Source`] if the process ends early.
    pub fn open(to: Box<dyn Write + Send>, from: Box<dyn Read + Send>, flow: Flow) -> Result<Self, Error> {
        let mut channel = Channel { to, from, flow, is_broken: false };
        channel.answer()?;
        let place = channel.text()?;
        Ok(Self { channel: Mutex::new(channel), place })
    }
}

impl Volumes for PipedVolumes {
    fn size(&self, file: &str) -> Result<Option<u64>, Error> {
        let mut channel = lock(&self.channel);
        channel.ask(&Question { operation: SIZE, name: file.to_owned(), offset: 0, length: 0 })?;
        channel.answer()?;
        let is_there = channel.byte()? == 1;
        let size = channel.number()?;
        Ok(is_there.then_some(size))
    }

    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut offset = offset;
        for part in buffer.chunks_mut(BYTES) {
            let mut channel = lock(&self.channel);
            let length = u32::try_from(part.len()).unwrap_or_default();
            channel.ask(&Question { operation: READ, name: file.to_owned(), offset, length })?;
            channel.answer()?;
            channel.fill(part)?;
            offset += u64::from(length);
        }
        Ok(())
    }

    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
        let mut channel = lock(&self.channel);
        channel.ask(&Question { operation: LIST, name: folder.to_owned(), offset: 0, length: 0 })?;
        while channel.answer()? == ENTRY {
            let (name, flags, size) = (channel.text()?, channel.byte()?, channel.number()?);
            each(Entry { name: &name, is_folder: flags & 1 == 1, size: (flags & 2 == 2).then_some(size) });
        }
        Ok(())
    }

    fn shown(&self, file: &str) -> String {
        format!("{}/{file}", self.place)
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// Reads what a process that serves files is asked.
struct Questions<'a> {
    from: Box<dyn Read + Send>,
    flow: &'a Flow,
}

impl Questions<'_> {
    /// Fills the buffer; `false` at the end of the questions or of the run.
    fn fill(&mut self, mut buffer: &mut [u8]) -> io::Result<bool> {
        while !buffer.is_empty() {
            match self.from.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    if self.flow.is_cancelled() {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn next(&mut self) -> io::Result<Option<Question>> {
        let mut head = [0; 5];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]).min(TEXT);
        let mut name = vec![0; usize::try_from(length).unwrap_or_default()];
        let (mut offset, mut length) = ([0; 8], [0; 4]);
        if !self.fill(&mut name)? || !self.fill(&mut offset)? || !self.fill(&mut length)? {
            return Ok(None);
        }
        Ok(Some(Question {
            operation: head[0],
            name: String::from_utf8_lossy(&name).into_owned(),
            offset: u64::from_le_bytes(offset),
            length: u32::from_le_bytes(length),
        }))
    }
}

fn put_error(bytes: &mut Vec<u8>, error: &Error) {
    bytes.extend([FAILED, number_of(error.class)]);
    put_text(bytes, &error.what);
    put_text(bytes, error.help.as_deref().unwrap_or_default());
}

/// Answers questions about the files that `opened` returned, until there are no more. An error of
/// opening them is the only answer.
///
/// # Errors
/// Those of the pipes.
pub fn serve(
    opened: Result<&dyn Volumes, Error>,
    from: Box<dyn Read + Send>,
    to: &mut dyn Write,
    flow: &Flow,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let volumes = match opened {
        Ok(volumes) => {
            bytes.push(DONE);
            put_text(&mut bytes, volumes.place().trim_end_matches('/'));
            to.write_all(&bytes)?;
            to.flush()?;
            volumes
        }
        Err(error) => {
            put_error(&mut bytes, &error);
            to.write_all(&bytes)?;
            return to.flush();
        }
    };
    let mut questions = Questions { from, flow };
    let mut buffer = vec![0; BYTES];
    while let Some(question) = questions.next()? {
        bytes.clear();
        let mut content = &mut buffer[..0];
        let answered = match question.operation {
            SIZE => volumes.size(&question.name).map(|size| {
                bytes.extend([DONE, u8::from(size.is_some())]);
                bytes.extend(size.unwrap_or_default().to_le_bytes());
            }),
            READ => {
                content = &mut buffer[..usize::try_from(question.length).unwrap_or(BYTES).min(BYTES)];
                volumes.read_at(&question.name, question.offset, content).map(|()| bytes.push(DONE))
            }
            _ => {
                let listed = volumes.list(&question.name, &mut |entry| {
                    bytes.push(ENTRY);
                    put_text(&mut bytes, entry.name);
                    bytes.push(u8::from(entry.is_folder) | u8::from(entry.size.is_some()) << 1);
                    bytes.extend(entry.size.unwrap_or_default().to_le_bytes());
                });
                listed.map(|()| bytes.push(DONE))
            }
        };
        if let Err(error) = answered {
            put_error(&mut bytes, &error);
            content = &mut [];
        }
        to.write_all(&bytes)?;
        to.write_all(content)?;
        to.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::{FixedClock, Silent};

    struct Files;

    impl Volumes for Files {
        fn size(&self, file: &str) -> Result<Option<u64>, Error> {
            Ok((file == "b.json").then_some(9 << 20))
        }
        fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
            if file != "b.json" {
                return Err(Error::new(Kind::Content(Class::Source), "gone").help("do this"));
            }
            for (at, byte) in (offset..).zip(buffer) {
                *byte = u8::try_from(at % 251).unwrap();
            }
            Ok(())
        }
        fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
            each(Entry { name: "one", is_folder: false, size: Some(7) });
            each(Entry { name: "two", is_folder: true, size: None });
            if folder.is_empty() { Ok(()) } else { Err(Error::new(Kind::Mismatch, "broke off")) }
        }
        fn shown(&self, file: &str) -> String {
            file.to_owned()
        }
        fn place(&self) -> String {
            "store/".to_owned()
        }
    }

    fn flow() -> Flow {
        Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(0)), 1, 1)
    }

    fn connected(opened: Result<&'static dyn Volumes, Error>) -> Result<PipedVolumes, Error> {
        let (questions, ask) = io::pipe().unwrap();
        let (answers, mut answer) = io::pipe().unwrap();
        std::thread::spawn(move || serve(opened, Box::new(questions), &mut answer, &flow()).unwrap());
        PipedVolumes::open(Box::new(ask), Box::new(answers), flow())
    }

    #[test]
    fn what_is_asked_is_answered() {
        let piped = connected(Ok(&Files)).unwrap();
        assert_eq!((piped.size("b.json").unwrap(), piped.size("c.json").unwrap()), (Some(9 << 20), None));
        let mut buffer = vec![0; 9 << 20];
        piped.read_at("b.json", 5, &mut buffer).unwrap();
        assert!((5_u64..).zip(&buffer).all(|(at, byte)| u64::from(*byte) == at % 251));
        let gone = piped.read_at("other", 0, &mut buffer[..3]).unwrap_err();
        assert_eq!((gone.class, &*gone.what), (Kind::Content(Class::Source), "gone"));
        assert_eq!(gone.help.as_deref(), Some("do this"));
        let mut entries = Vec::new();
        let mut take = |entry: Entry<'_>| entries.push((entry.name.to_owned(), entry.is_folder, entry.size));
        piped.list("", &mut take).unwrap();
        assert_eq!(piped.list("below", &mut take).unwrap_err().class, Kind::Mismatch);
        let once = [("one".to_owned(), false, Some(7)), ("two".to_owned(), true, None)];
        assert_eq!(entries, [once.clone(), once].concat());
        // An answer that failed leaves the next one whole.
        assert_eq!(piped.size("b.json").unwrap(), Some(9 << 20));
        assert_eq!((piped.place(), piped.shown("x")), ("store".to_owned(), "store/x".to_owned()));
    }

    #[test]
    fn what_cannot_be_opened_is_told_at_the_start() {
        let refused = connected(Err(Error::new(Kind::Content(Class::Usage), "no table"))).err().unwrap();
        assert_eq!((refused.class, &*refused.what), (Kind::Content(Class::Usage), "no table"));
    }

    #[test]
    fn a_process_that_ends_early_is_a_failure_of_the_source() {
        let (answers, answer) = io::pipe().unwrap();
        drop(answer);
        let failed = PipedVolumes::open(Box::new(io::sink()), Box::new(answers), flow()).err().unwrap();
        assert_eq!(failed.class, Kind::Content(Class::Source));
    }
}
