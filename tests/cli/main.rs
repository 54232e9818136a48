//! The command line from outside: the built binary with its exit codes, streams and files, between
//! real registries, checked by other programs; and whole runs in a test world where a terminal is
//! needed.
//!
//! The registries are those of `cargo xtask services`; a small server does only what a real one does
//! not do on request (lying, forgetting).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

mod access;
mod acr;
mod archives;
mod audit;
#[cfg(feature = "online")]
mod azure;
#[cfg(feature = "online")]
mod buckets;
#[cfg(feature = "online")]
mod chart_images;
#[cfg(feature = "online")]
mod config;
#[cfg(feature = "online")]
mod containers;
mod copy;
#[cfg(feature = "online")]
mod credentials;
mod delta;
#[cfg(feature = "online")]
mod directories;
mod emit;
mod errors;
mod frame;
mod from_bundle;
mod imports;
mod key;
#[cfg(feature = "online")]
mod kubernetes;
mod layouts;
mod left_out;
#[cfg(feature = "online")]
mod lists;
#[cfg(feature = "online")]
mod local_places;
#[cfg(feature = "online")]
mod login;
#[cfg(feature = "online")]
mod ls;
mod misplaced;
mod pipelines;
mod pipes;
mod platforms;
mod program;
mod races;
mod readme;
mod receipt_bases;
mod receipts;
#[cfg(feature = "online")]
mod registry;
mod report;
mod round_trip;
mod rule;
mod scan;
mod scan_layers;
#[cfg(feature = "online")]
mod shards;
mod shell;
#[cfg(feature = "online")]
mod sites;
mod sources;
#[cfg(feature = "pkcs11")]
mod token;
mod tour;
#[cfg(feature = "online")]
mod watch;
mod writes;

#[cfg(feature = "online")]
#[path = "../support/azurite.rs"]
mod azurite;
#[cfg(feature = "online")]
#[path = "../support/cloud.rs"]
mod cloud;
#[path = "../support/depot.rs"]
mod depot;
#[cfg(feature = "online")]
#[path = "../support/google.rs"]
mod google;
#[cfg(feature = "online")]
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/saved.rs"]
mod saved;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/shelf.rs"]
mod shelf;
#[path = "../support/strace.rs"]
mod strace;
#[path = "../support/world.rs"]
mod world;

use program::{Ended, command, packmule, refused};
use round_trip::{same_as_source, whole};
