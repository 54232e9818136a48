//! Options of the commands that write or import (feature `carry`).

pub mod bundle_source;
pub mod channel;
pub mod charts;
pub mod delta;
pub mod destination;
pub mod filters;
pub mod layout_source;
pub mod lists;
pub mod local_source;
pub mod lock;
pub mod places;
pub mod selectors;
pub mod size;
pub mod taken;
pub mod target;
