//! Operations of the tool. Each takes a resolved request, reports through its
//! [`crate::flow::Flow`], and returns an outcome. Nothing here parses a command line or prints.

use cfg_if::cfg_if;

pub mod diff;
pub mod freshness;
pub mod report_data;
pub mod tallies;
pub mod verify;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub mod copy;
        pub mod emit;
        pub mod export;
        pub mod import;
        pub mod sign;
    }
}

cfg_if! {
    if #[cfg(feature = "online")] {
        pub mod pipeline;
        pub mod serve;
        pub mod transfer;
        pub mod watch;
    }
}
