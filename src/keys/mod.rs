//! Private keys that are not in a file.

pub mod pkcs11;
