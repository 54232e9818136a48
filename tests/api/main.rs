//! The library in process: bundles and streams written and read, their sizes and costs, the vectors,
//! the examples of the specification, the second verifier, imports into layouts, reports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

mod all_vectors;
mod by_hand;
mod closures;
mod corpora;
mod custody;
mod edges;
mod elsewhere;
mod examples;
mod imports;
mod inspect;
mod many_tags;
mod memory;
mod one_pass;
mod reads;
mod report;
mod same;
mod second;
mod second_ml_dsa;
mod signing;
mod sizes;
mod source;
mod stranger_vectors;
mod twice;
mod writer;

#[path = "../support/alone.rs"]
mod alone;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/bundles.rs"]
mod bundles;
#[path = "../support/pages.rs"]
mod pages;
#[path = "../support/store.rs"]
mod store;
#[path = "../support/vectors.rs"]
mod vectors;

use bundles::{
    Bundle, Ended, MANIFEST, assert_class, bits, flow, key, make_layout, noise, packmule, packmule_at, put, stream_of,
};
