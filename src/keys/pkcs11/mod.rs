//! Keys that stay on a card or in an HSM, reached by PKCS#11.
//!
//! [`uri`] says which one; `module`, with the feature `pkcs11`, loads the module that it names and signs. A PIN is never
//! part of a URI here. Asks nobody and reads no file but the module.

#[cfg(feature = "pkcs11")]
pub mod module;
#[cfg(not(feature = "pkcs11"))]
#[path = "no_module.rs"]
pub mod module;
pub mod uri;

pub use self::uri::Uri;
