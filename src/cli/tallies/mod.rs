//! Tallies of shards: the options of `verify --shard` and `--join`, the files, and how they are shown.
//!
//! A shard's tally is opened before the command confines itself, and those to join are read before it.
//! What a tally proves is decided elsewhere.

use cfg_if::cfg_if;

pub mod options;
pub mod read;
pub mod show;
pub mod write;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub mod keys;
    } else {
        #[path = "no_keys.rs"]
        pub mod keys;
    }
}

/// Returns the name of the file for a tally in a directory.
fn file_name(bundle: &crate::bundle::Name, shard: crate::base::shard::Shard) -> String {
    format!("{bundle}.{}-of-{}.json", shard.index(), shard.count())
}
