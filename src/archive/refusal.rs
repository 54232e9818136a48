//! Reason why an archive is not read: what was expected and found, without the archive's path.

use std::io;

use crate::base::fault::{Class, Fault, escape};

/// A fault at a place in an archive that the text names.
#[derive(Debug)]
pub(super) struct Refusal {
    class: Class,
    what: String,
}

impl Refusal {
    /// Creates a refusal of an archive that is malformed.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { class: Class::Format, what: what.into() }
    }

    /// Names the member that a reader failed at.
    pub(super) fn within(self, name: &str) -> Self {
        Self { what: format!("member {}: {}", shown(name), self.what), ..self }
    }

    /// Returns the fault for the archive that `name` names.
    pub(super) fn at(self, name: &str) -> Fault {
        let help = match self.class {
            Class::Format => "write the archive again with `docker save`, `podman save` or skopeo",
            class => class.advice(),
        };
        Fault::new(self.class, format!("{name}: {}", self.what)).help(help)
    }
}

/// An error of the system is one of the medium; any other comes from a decoder, or is the end of the
/// run.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if let Some(inner) = error.get_ref()
            && inner.is::<crate::flow::Cancelled>()
        {
            return crate::flow::Cancelled.into();
        }
        let is_content = error.raw_os_error().is_none();
        Self { class: if is_content { Class::Format } else { Class::Io }, what: error.to_string() }
    }
}

impl From<crate::flow::Cancelled> for Refusal {
    fn from(_: crate::flow::Cancelled) -> Self {
        Self { class: Class::Cancelled, what: "cancelled".to_owned() }
    }
}

/// Returns a name from an archive for a message.
pub(super) fn shown(name: &str) -> String {
    escape(name)
}
