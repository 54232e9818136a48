//! The registry adapter against real registries on loopback, and against small servers that break
//! off, lie and redirect.
//!
//! `cargo xtask test` starts the registries and names them in the environment; without them their
//! tests print SKIP, or fail if `CI` is set.

#![cfg(feature = "online")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

mod algorithms;
mod azure;
mod buckets;
mod cache_products;
mod cache_program;
mod cache_runtimes;
mod caching;
mod courier;
mod emit;
mod encodings;
mod encrypted;
mod faults;
mod lists;
mod login;
mod outages;
mod pipelines;
mod products;
mod pulls;
mod quirky;
mod races;
mod redirects;
mod referrers;
mod roundtrip;
mod serve_attacks;
mod serve_clients;
mod serve_memory;
mod serve_page;
mod serve_places;
mod serve_runtimes;
mod served;
mod serving;
mod settings;
mod strangers;
mod streams;
mod tls;
mod tokens;
mod unreadable;
mod uploads;
mod upstream;

#[path = "../support/azurite.rs"]
mod azurite;
#[path = "../support/container.rs"]
mod container;
#[path = "../support/google.rs"]
mod google;
#[path = "../support/hosts.rs"]
mod hosts;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/server.rs"]
mod server;
