//! Commands that speak to a network or to its configuration: with the feature `online`.

#[cfg(feature = "online")]
pub mod copy;
#[cfg(feature = "online")]
pub mod credential;
#[cfg(feature = "online")]
pub mod login;
#[cfg(feature = "online")]
pub mod logout;
#[cfg(feature = "carry")]
pub mod ls;
#[cfg(feature = "online")]
pub mod schema;
