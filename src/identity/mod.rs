//! Identities in Microsoft's clouds: their tokens, and the secrets that a key vault gives to them.
//!
//! An [`Identity`] gets tokens for one service at a time, from the login authority of its cloud, from the machine's
//! metadata service or from the cloud's command line tool. [`Bearer`] and [`VaultSecret`] hand tokens and secrets to
//! those who send them. Reads no configuration and no environment; the caller does. No text contains a token or a
//! secret. Must not know about registries or blob storage.

mod authority;
mod cloud;
mod jwt;
mod kept;
mod metadata;
mod tokens;
mod tool;
mod vault;
mod web;

pub use self::cloud::{Audience, Cloud};
pub use self::jwt::{Claims, claims};
pub use self::kept::{Fresh, Kept};
pub use self::metadata::{Managed, Metadata};
pub use self::tokens::{Application, Bearer, Identity, Who};
pub use self::vault::{Address, VaultSecret};
pub use self::web::Web;
