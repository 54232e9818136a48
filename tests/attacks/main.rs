//! Damaged, hostile and untrusted input, and the decision whom to trust: bundles, media, keys,
//! registries, outputs. What is damaged was written by the real exporter, and the real reader must
//! refuse it. A small server does only what a real registry does not do on request (lying,
//! forgetting).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

mod again;
mod amplify;
mod anchors;
mod archives;
mod channel;
mod drive;
#[cfg(feature = "online")]
mod echoes;
mod evil;
mod faults;
mod flat;
mod flips;
mod guard;
mod hybrid;
mod limits;
#[cfg(feature = "online")]
mod listener;
mod media;
mod outputs;
mod planted;
mod policy;
mod refusals;
mod secrets;
mod shards;
mod special_files;
mod streams;
mod trust;
mod volumes;
mod worst;

#[path = "../support/alone.rs"]
mod alone;
#[path = "../support/bundles.rs"]
mod bundles;
#[cfg(feature = "online")]
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/hosts.rs"]
mod hosts;
#[path = "../support/pages.rs"]
mod pages;
#[path = "../support/saved.rs"]
mod saved;
#[path = "../support/server.rs"]
mod server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/shelf.rs"]
mod shelf;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/store.rs"]
mod store;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/vectors.rs"]
mod vectors;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/world.rs"]
mod world;

use bundles::{
    Bundle, Ended, assert_class, bits, flow, key, make_layout, noise, packmule, packmule_at, stream_of, verdict,
};
