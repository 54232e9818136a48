//! Reads volumes one after another, each once and from start to end: from media that are swapped in
//! one drive, or for a writer that reads back.
//!
//! Asks for a medium through a callback; knows no terminal.

use super::one_pass::Feed;
use crate::bundle::Error;
use crate::bundle::open::trusted::Trusted;

/// Asks for the next medium. Returns `false` if there is none.
pub type Ask<'a> = dyn FnMut(&str) -> bool + Send + 'a;

/// Volumes of a bundle as a feed of frames.
pub struct Media<'a> {
    bundle: &'a Trusted,
    ask: Option<&'a mut Ask<'a>>,
    is_surveyed: bool,
}

impl<'a> Media<'a> {
    /// Returns a feed of volumes that are all present.
    pub const fn new(bundle: &'a Trusted) -> Self {
        Self { bundle, ask: None, is_surveyed: true }
    }

    /// Returns a feed that calls `ask` for a missing volume until it is present.
    pub fn changed(bundle: &'a Trusted, ask: &'a mut Ask<'a>) -> Self {
        Self { bundle, ask: Some(ask), is_surveyed: false }
    }

    /// Waits until the medium with a volume is present.
    fn wait(&mut self, volume: usize, faults: &mut Vec<Error>) -> Result<(), Error> {
        let Some(ask) = &mut self.ask else { return Ok(()) };
        let (bundle, volumes) = (self.bundle, self.bundle.volumes());
        let file = volumes.file_name(volume);
        let expected = bundle.manifest().volumes[volume].size;
        loop {
            // Open files would keep the medium in its drive.
            volumes.place().close();
            let found = match volumes.size(volume) {
                Ok(Some(size)) if size == expected => break,
                Ok(Some(size)) => format!("expected {expected} bytes, found {size}"),
                Ok(None) => "it is missing".to_owned(),
                Err(error) => error.what,
            };
            let text = format!(
                "need volume {} of bundle {} ({file}) in {}: {found}",
                volume + 1,
                bundle.id(),
                volumes.place().place()
            );
            if !ask(&text) {
                return Err(bundle.lacks(volume));
            }
            self.is_surveyed = false;
        }
        // Files next to the volumes matter on the first medium as much as on a later one.
        if !std::mem::replace(&mut self.is_surveyed, true) {
            for error in bundle.survey_beside() {
                if !faults.contains(&error) {
                    faults.push(error);
                }
            }
        }
        Ok(())
    }
}

impl Feed for Media<'_> {
    fn frame(&mut self, index: usize, buffer: &mut [u8], faults: &mut Vec<Error>) -> Result<(), Error> {
        let place = self.bundle.offsets().place(index);
        if place.offset == 0 {
            self.wait(place.volume, faults)?;
        }
        self.bundle.volumes().read_exact(place.volume, place.offset, buffer)
    }

    fn end(&mut self, _: &mut Vec<Error>) -> bool {
        false
    }
}
