//! The target `lists`: see targets.rs.

#![no_main]
#![allow(dead_code, reason = "the other targets are other programs")]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::lists(bytes));
