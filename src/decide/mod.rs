//! Decisions: pure functions from a request and known facts to what is to be done. Files and
//! connections are reached only through [`crate::content`].

pub mod chart_images;
pub mod delta;
pub mod expand;
pub mod left_out;
pub mod lists;
pub mod maps;
pub mod originals;
pub mod part;
pub mod plan;
pub mod route;
pub mod rules;
pub mod select;
pub mod selector;
pub mod wanted;
