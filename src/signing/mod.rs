//! Keys, signatures and whom to believe (`spec/signature.md`).
//!
//! [`key`] reads PEM keys, `private` makes them and signs, [`envelope`] is the signature
//! file, [`policy`] judges some; [`claims`] is what it must know of the manifest. All of it works on bytes: no path, no
//! prompt, no clock stands here. A bundle is one thing that is signed; nothing
//! here knows what a bundle is beyond the descriptor in its statement.

pub mod claims;
pub mod envelope;
pub mod key;
pub mod ml_dsa;
pub mod policy;
#[cfg(feature = "carry")]
pub mod private;

pub use self::claims::{Claims, Order};
pub use self::envelope::{BUNDLE_TYPE, Envelope, EnvelopeError, Signature, pae, statement};
pub use self::key::{Algorithm, Contents, KeyError, PublicKey};
pub use self::policy::{Admission, Call, Judgement, Policy, PolicyError, Refusal, Roll, Rules};
