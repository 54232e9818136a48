//! Files of one bundle: volumes by their numbers, small files as a whole.
//!
//! Translates the errors of a place into those of a bundle. Compares nothing with a manifest.

use std::sync::Arc;

use crate::base::fault::{Class, differs};
use crate::bundle::{Error, Name};
use crate::content::volumes::{Entry, Volumes};
use crate::content::{self, Kind};

/// Files of a bundle at some place.
pub struct Files {
    place: Arc<dyn Volumes>,
    name: Name,
}

/// Place of a stream, which has no files.
struct Nowhere;

impl Volumes for Nowhere {
    fn size(&self, _: &str) -> Result<Option<u64>, content::Error> {
        Ok(None)
    }
    fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> Result<(), content::Error> {
        Err(content::Error::new(Kind::Absent, "a stream is read once"))
    }
    fn list(&self, _: &str, _: &mut dyn FnMut(Entry<'_>)) -> Result<(), content::Error> {
        Ok(())
    }
    fn shown(&self, file: &str) -> String {
        file.to_owned()
    }
    fn place(&self) -> String {
        "the stream".to_owned()
    }
}

impl Files {
    /// Returns the files of a bundle that comes in a stream. Only their names are known.
    pub fn of_stream(name: Name) -> Self {
        Self::new(Arc::new(Nowhere), name)
    }

    /// Returns the files of the bundle `name` at `place`. Opens nothing yet.
    pub fn new(place: Arc<dyn Volumes>, name: Name) -> Self {
        Self { place, name }
    }

    /// Returns the place.
    pub fn place(&self) -> &dyn Volumes {
        &*self.place
    }

    /// Returns the bundle's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the file name of a volume, counted from 0.
    pub fn file_name(&self, volume: usize) -> String {
        self.name.volume(volume + 1)
    }

    /// Returns the size of a volume in bytes, or `None` if it is missing or empty (stores that cannot
    /// delete files empty them instead).
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn size(&self, volume: usize) -> Result<Option<u64>, Error> {
        Ok(self.place.size(&self.file_name(volume)).map_err(fault)?.filter(|size| *size > 0))
    }

    /// Fills `buffer` from `offset` of a volume.
    ///
    /// # Errors
    /// [`Class::Io`] with volume and offset; [`Class::Integrity`] if the volume ends too early.
    pub fn read_exact(&self, volume: usize, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let name = self.file_name(volume);
        self.place.read_at(&name, offset, buffer).map_err(|error| match error.class {
            Kind::Absent => Error::integrity(format!("volume {name}: missing")),
            Kind::Mismatch => {
                Error::integrity(format!("volume {name}: ends before offset {}", offset + buffer.len() as u64))
            }
            _ => {
                let mut error = fault(error);
                if error.class == Class::Io {
                    error = error.within(format_args!("volume {name}, offset {offset}"));
                    let help = "the medium is failing; copy the volume again, or read another copy of it";
                    error.help.get_or_insert_with(|| help.to_owned());
                }
                error
            }
        })
    }

    /// Reads a whole file of at most `cap` bytes. Returns `None` if it is missing or empty.
    ///
    /// # Errors
    /// [`Class::Io`]; [`Class::Format`] above the cap, known from the size alone.
    pub fn whole(&self, file: &str, cap: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(size) = self.place.size(file).map_err(fault)?.filter(|size| *size > 0) else { return Ok(None) };
        let shown = self.place.shown(file);
        if size > cap {
            return Err(Error::format(differs(shown, format_args!("at most {cap} bytes"), "more")));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.place.read_at(file, 0, &mut bytes).map_err(|error| {
            let error = error.classed(|_| Class::Io);
            error.within(shown)
        })?;
        Ok(Some(bytes))
    }

    /// Returns the numbers, as in their file names, of all volumes of this name that are not empty.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn present(&self) -> Result<Vec<usize>, Error> {
        let mut numbers = Vec::new();
        let mut take = |entry: Entry<'_>| {
            let number = self.name.volume_number(entry.name);
            numbers.extend(number.filter(|_| entry.size != Some(0)));
        };
        self.place.list("", &mut take).map_err(fault)?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// Converts the error of a place that did not provide a file of a bundle.
pub fn fault(error: content::Error) -> Error {
    error.into_fault(Class::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One volume of four bytes, an empty one, a folder in the name of a third; reads as it is told to.
    struct Place(fn() -> content::Error);

    impl Volumes for Place {
        fn size(&self, file: &str) -> Result<Option<u64>, content::Error> {
            match file {
                "b.0001.tar.zst" => Ok(Some(4)),
                "b.0002.tar.zst" => Ok(Some(0)),
                "b.json" => Ok(Some(9)),
                _ => Ok(None),
            }
        }
        fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> Result<(), content::Error> {
            Err(self.0())
        }
        fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), content::Error> {
            assert_eq!(folder, "");
            each(Entry { name: "b.0003.tar.zst", is_folder: true, size: None });
            each(Entry { name: "b.0001.tar.zst", is_folder: false, size: Some(4) });
            each(Entry { name: "b.0001.tar.zst", is_folder: false, size: Some(4) });
            each(Entry { name: "b.0002.tar.zst", is_folder: false, size: Some(0) });
            each(Entry { name: "c.0004.tar.zst", is_folder: false, size: Some(4) });
            Ok(())
        }
        fn shown(&self, file: &str) -> String {
            format!("store/{file}")
        }
        fn place(&self) -> String {
            "store".to_owned()
        }
    }

    fn files(error: fn() -> content::Error) -> Files {
        Files::new(Arc::new(Place(error)), Name::new("b").unwrap())
    }

    #[test]
    fn an_empty_volume_is_none_and_another_kind_of_file_is_one() {
        let files = files(|| content::Error::new(Kind::Failed, "broke off"));
        assert_eq!((files.size(0), files.size(1), files.size(2)), (Ok(Some(4)), Ok(None), Ok(None)));
        assert_eq!(files.present().unwrap(), [1, 3]);
    }

    #[test]
    fn what_a_place_does_not_give_is_told_with_volume_and_offset() {
        let told = |error: fn() -> content::Error| files(error).read_exact(0, 2, &mut [0; 3]).unwrap_err();
        let gone = told(|| content::Error::new(Kind::Absent, "404"));
        assert_eq!((gone.class, &*gone.what), (Class::Integrity, "volume b.0001.tar.zst: missing"));
        let short = told(|| content::Error::new(Kind::Mismatch, "short"));
        assert_eq!((short.class, &*short.what), (Class::Integrity, "volume b.0001.tar.zst: ends before offset 5"));
        let failed = told(|| content::Error::new(Kind::Failed, "503"));
        assert_eq!((failed.class, &*failed.what), (Class::Io, "volume b.0001.tar.zst, offset 2: 503"));
        assert!(failed.help.is_some());
        let cancelled = told(|| content::Error::new(Kind::Cancelled, "cancelled"));
        assert_eq!((cancelled.class, &*cancelled.what), (Class::Cancelled, "cancelled"));
    }

    #[test]
    fn a_file_above_its_cap_is_not_read() {
        let files = files(|| content::Error::new(Kind::Io, "fails"));
        assert_eq!(files.whole("b.json", 8).unwrap_err().class, Class::Format);
        let failed = files.whole("b.json", 9).unwrap_err();
        assert_eq!((failed.class, &*failed.what), (Class::Io, "store/b.json: fails"));
        assert_eq!(files.whole("b.sha256", 9), Ok(None));
    }
}
