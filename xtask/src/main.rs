//! Tasks around the crate.
fn main() {}
