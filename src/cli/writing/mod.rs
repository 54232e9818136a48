//! Shared parts of commands that write or sign: new files, passphrases, private keys, receipts
//! (feature `carry`).

pub mod earlier;
pub mod emitted;
pub mod newfile;
pub mod passphrase;
pub mod receipt_write;
pub mod signers;
