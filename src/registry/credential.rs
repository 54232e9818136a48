//! A login at a registry.
//!
//! Holds one and never shows it; who may have it is decided in `auth`.

use std::fmt;

use zeroize::Zeroizing;

/// A login at a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password or access token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// An identity token, exchanged at the realm (OAuth2 refresh).
    Identity(Zeroizing<String>),
}

impl Credential {
    /// Makes a login of a user with a password.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { username: username.into(), password: Zeroizing::new(password.into()) }
    }

    /// Makes a login of an identity token.
    pub fn identity(token: impl Into<String>) -> Self {
        Self::Identity(Zeroizing::new(token.into()))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}
