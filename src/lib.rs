//! packmule.
