//! Help: the overview by role, short screens with examples, and names that later versions will have.
//!
//! Works on the grammar that the commands define; it knows no argument's meaning.

pub mod overview;
pub mod planned;
pub mod screens;
