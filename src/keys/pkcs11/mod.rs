//! Keys that stay on a smart card or in an HSM, accessed through PKCS#11.
//!
//! [`uri`] identifies a key. `module`, with the feature `pkcs11`, loads the module named in the URI
//! and signs. URIs here never contain a PIN. This module prompts nobody and reads no file other
//! than the PKCS#11 module.

#[cfg(feature = "pkcs11")]
pub mod module;
#[cfg(not(feature = "pkcs11"))]
#[path = "no_module.rs"]
pub mod module;
pub mod uri;

pub use self::uri::Uri;
