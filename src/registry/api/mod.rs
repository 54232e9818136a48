//! The calls of the distribution protocol: blobs, manifests, tags, referrers and lists.

pub(super) mod absent;
pub(super) mod blobs;
pub(super) mod call;
pub(super) mod chunks;
pub(super) mod foreign_layers;
pub(super) mod listing;
pub(super) mod lists;
pub(super) mod login;
pub(super) mod manifests;
pub(super) mod mounts;
pub(super) mod paging;
pub(super) mod referrers;
pub(super) mod referrers_list;
pub(super) mod registry;
pub(super) mod session;
pub(super) mod tags;
pub(super) mod upload;
pub(super) mod ways;
