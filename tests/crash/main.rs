//! Runs that end early or get less than they need: killed, interrupted, on full or failing disks, with
//! little memory. Anything with a final name is whole, and the same command completes the work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

mod disk;
mod interrupt;
mod kill;
mod killed;
mod machine;
mod panic;
mod process;
mod read_back;
mod signals;
mod stalls;
mod states;

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/bundles.rs"]
mod bundles;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/server.rs"]
mod server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/shelf.rs"]
mod shelf;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/store.rs"]
mod store;
#[path = "../support/strace.rs"]
mod strace;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/world.rs"]
mod world;

use bundles::{Bundle, flow, key, make_layout, noise};
