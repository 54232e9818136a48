//! The fault for a credential that the configuration does not have.

use crate::base::fault::{Class, Fault};

/// Makes the fault.
pub(super) fn absent(name: &str) -> Fault {
    Fault::new(Class::Usage, format!("credential {name:?}: expected a credential of that name, found none"))
        .help("see `packmule credential list`")
}
