//! Options of the commands that write or import (feature `carry`).

pub mod bundle_source;
pub mod channel;
pub mod delta;
pub mod destination;
pub mod selectors;
pub mod size;
pub mod target;
