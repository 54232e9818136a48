//! A login at a registry.
//!
//! `Debug` never shows its content. Module `auth` decides which server receives it.

use std::fmt;

use zeroize::Zeroizing;

/// A login at a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name with a password or access token.
    Password {
        /// User name.
        username: String,
        /// Password or access token.
        password: Zeroizing<String>,
    },
    /// An identity token, which the realm exchanges for an access token (OAuth2 refresh).
    Identity(Zeroizing<String>),
}

impl Credential {
    /// Makes a login from a user name and a password.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { username: username.into(), password: Zeroizing::new(password.into()) }
    }

    /// Makes a login from an identity token.
    pub fn identity(token: impl Into<String>) -> Self {
        Self::Identity(Zeroizing::new(token.into()))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}
