//! Objects of a container as they were first seen: every later read is of that content, or fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Container, Object};
use crate::base::fault::Class;
use crate::base::lock::lock;
use crate::content::{Error, Kind};

/// Objects whose content must not change while they are read.
pub(super) struct Pinned {
    container: Arc<dyn Container>,
    seen: Mutex<HashMap<String, Option<Object>>>,
}

impl Pinned {
    pub(super) fn new(container: Arc<dyn Container>) -> Self {
        Self { container, seen: Mutex::default() }
    }

    pub(super) fn container(&self) -> &dyn Container {
        &*self.container
    }

    /// Returns the object as it was first seen; `None` if it did not exist then.
    ///
    /// # Errors
    /// Those of the container.
    pub(super) fn object(&self, name: &str) -> Result<Option<Object>, Error> {
        if let Some(object) = lock(&self.seen).get(name) {
            return Ok(object.clone());
        }
        let object = self.container.head(name).map_err(of_source)?;
        Ok(lock(&self.seen).entry(name.to_owned()).or_insert(object).clone())
    }

    /// Reads from the content that was first seen.
    ///
    /// # Errors
    /// [`Kind::Absent`], [`Kind::Mismatch`] if it ends before; those of the container, also if the
    /// content changed.
    pub(super) fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let object = self.object(name)?.ok_or_else(|| Error::new(Kind::Absent, "missing"))?;
        if offset.saturating_add(buffer.len() as u64) > object.size {
            return Err(Error::new(Kind::Mismatch, "ends before"));
        }
        self.container.read_at(name, object.etag.as_deref(), offset, buffer).map_err(|error| match error.class {
            // It is long enough, so its content is another by now.
            Kind::Mismatch | Kind::Absent => {
                let what = format!("{}: changed while it was read", self.container.shown(name));
                Error::new(Kind::Content(Class::Source), what).help("run the command again when nobody writes there")
            }
            _ => of_source(error),
        })
    }
}

/// Gives a failure of the container the class of a source, which differs from that of a failed
/// medium.
pub(super) fn of_source(error: Error) -> Error {
    error.classed(|kind| match kind {
        Kind::Denied | Kind::Refused | Kind::Failed | Kind::Absent => Kind::Content(Class::Source),
        other => other,
    })
}
