//! Turns frames on a medium into checked pieces of the tar stream.

use cfg_if::cfg_if;

pub(super) mod limiter;
pub mod media;
pub(super) mod members;
pub(super) mod one_pass;
pub(super) mod pool;
pub(super) mod random;
pub(super) mod spares;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub(super) mod built;
    }
}
