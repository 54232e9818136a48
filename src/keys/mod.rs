//! Private keys that are not stored in files.

pub mod pkcs11;
