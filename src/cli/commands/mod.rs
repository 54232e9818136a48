//! The subcommands, one per file, in folders by the features that they need.

#[cfg(feature = "carry")]
pub mod carry;
#[cfg(feature = "online")]
pub mod online;
pub mod read;
