//! Assigns frames to volumes: pure arithmetic on sizes.

use crate::base::fault::{Class, differs, expects};
use crate::bundle::Error;
use crate::bundle::format::name::MAX_VOLUMES;

/// Smallest limit of a volume's size, in bytes.
pub const LEAST_VOLUME: u64 = 32 << 20;
/// Default limit: the largest file that FAT32 and ISO 9660 hold.
pub const DEFAULT_VOLUME: u64 = (4 << 30) - 1;

/// Assigns frames to volumes, none larger than a limit.
#[derive(Clone, Debug)]
pub struct Layout {
    limit: u64,
    volumes: Vec<(u64, u64)>,
}

impl Layout {
    /// Returns an empty layout. `limit` is in bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, volumes: Vec::new() }
    }

    /// Returns the volume, counted from 0, and the offset that the next frame of `size` bytes will
    /// have.
    pub fn peek(&self, size: u64) -> (usize, u64) {
        match self.volumes.last() {
            Some((_, bytes)) if bytes.saturating_add(size) <= self.limit => (self.volumes.len() - 1, *bytes),
            _ => (self.volumes.len(), 0),
        }
    }

    /// Adds a frame of `size` bytes. Returns its volume and offset.
    pub fn add(&mut self, size: u64) -> (usize, u64) {
        let place = self.peek(size);
        self.volumes.resize(place.0 + 1, (0, 0));
        let (frames, bytes) = &mut self.volumes[place.0];
        *frames += 1;
        *bytes += size;
        place
    }

    /// Returns the number of frames and bytes of each volume.
    pub fn volumes(&self) -> &[(u64, u64)] {
        &self.volumes
    }
}

/// Refuses volumes that are too small. Needs nothing else, so it can come before all work.
///
/// # Errors
/// [`Class::Usage`].
pub fn check_volume_size(size: u64) -> Result<(), Error> {
    if size >= LEAST_VOLUME {
        return Ok(());
    }
    Err(Error::new(
        Class::Usage,
        expects(format_args!("volume size {size}"), format_args!("at least {LEAST_VOLUME} bytes")),
    )
    .help("use --volume-size 32MiB or more"))
}

/// Returns the error for a bundle of `count` volumes.
pub fn too_many_volumes(count: usize) -> Error {
    Error::new(Class::Usage, differs("export", format_args!("at most {MAX_VOLUMES} volumes"), count))
        .help("use a larger --volume-size, or select fewer artifacts")
}
