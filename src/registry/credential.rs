//! A login at a registry.
//!
//! `Debug` never shows its content. Module `auth` decides which server receives it.

use std::fmt;

use zeroize::Zeroizing;

use crate::network::secrets::Secrets;

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
    /// A token of an identity in Microsoft's cloud (Entra), which the registry exchanges for an identity token.
    Entra(Zeroizing<String>),
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

    /// Adds it to the secrets that are removed from texts.
    pub(super) fn add_to(&self, secrets: &Secrets) {
        match self {
            Self::Password { username, password } => secrets.password(username, password),
            Self::Identity(token) => secrets.secret(token),
            Self::Entra(token) => secrets.token(token),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?} {:?}", Credential::password("mule", "hunter2"), Credential::identity("hunter2"));
        assert!(!shown.contains("hunter2"));
    }
}
