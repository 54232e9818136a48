//! Keys, signatures and whom to believe (`spec/signatures.md`).
//!
//! [`key`] reads PEM keys, `private` makes them and signs, [`envelope`] is the signature file, [`policy`] judges one;
//! [`claims`] is what it must know of the manifest. All of it
//! works on bytes: no path, no prompt, no clock stands here. A bundle is one thing that is signed; nothing
//! here knows what a bundle is beyond the descriptor in its statement.

pub mod claims;
pub mod envelope;
pub mod key;
pub mod policy;
#[cfg(feature = "carry")]
pub mod private;

pub use claims::{Claims, Order};
pub use envelope::{Envelope, EnvelopeError, Signature, pae, statement};
pub use key::{Contents, KeyError, PublicKey};
pub use policy::{Admission, Call, Judgement, Policy, PolicyError, Refusal, Roll, Rules};
#[cfg(feature = "carry")]
pub use private::SigningKey;
