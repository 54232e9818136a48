//! A source that lies.

use super::*;

/// A source that returns one blob wrongly, or breaks off, or is cancelled while it is read.
pub(super) struct Liar<'a> {
    pub(super) inner: &'a Layout,
    pub(super) about: Digest,
    pub(super) lie: Lie,
}

pub(super) enum Lie {
    Flip,
    Short,
    Break,
    BreakOnce(AtomicBool),
    Cancel(Arc<AtomicBool>),
}

pub(super) struct Breaks;

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Source for Liar<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.inner.resolve(reference)
    }
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        Source::document(self.inner, repository, descriptor)
    }
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        let mut truth = self.inner.blob(repository, descriptor)?;
        if descriptor.digest != self.about {
            return Ok(truth);
        }
        let mut bytes = Vec::new();
        truth.read_to_end(&mut bytes).unwrap();
        match &self.lie {
            Lie::Flip => bytes[3] ^= 1,
            Lie::Short => bytes.truncate(4),
            Lie::Break => return Ok(Box::new(io::Cursor::new(bytes).take(4).chain(Breaks))),
            Lie::BreakOnce(done) if !done.swap(true, Ordering::Relaxed) => return Ok(Box::new(Breaks)),
            Lie::BreakOnce(_) => {}
            Lie::Cancel(flag) => flag.store(true, Ordering::Relaxed),
        }
        Ok(Box::new(io::Cursor::new(bytes)))
    }
    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.inner.holds(repository, descriptor)
    }
}
