//! Secrets that may change during a run: access signatures, tokens, keys.
//!
//! Holds the contract between those who get a secret and those who send it. Keeps nothing.

use zeroize::Zeroizing;

use crate::content::Error;

/// Source of one secret.
pub trait SecretSource: Send + Sync {
    /// Returns the secret. With `again`, reads it from its source again, because the one returned
    /// before was refused or is about to end.
    ///
    /// # Errors
    /// [`crate::content::Kind::Denied`] if it may not be read, [`crate::content::Kind::Failed`] if its
    /// place does not answer, [`crate::content::Kind::Policy`] if it is missing or unusable. The texts
    /// say which step failed and contain no part of the secret.
    fn read(&self, again: bool) -> Result<Zeroizing<String>, Error>;
}
