//! Keys, signatures and trust (`spec/signature.md`).
//!
//! [`key`] reads PEM keys, `private` creates and uses private ones, `signer` abstracts over
//! signers, [`envelope`] is the signature file, [`policy`] judges signature files, and [`claims`]
//! holds what a policy must know about a manifest. Everything works on bytes: no paths, no prompts,
//! no clock. Bundles are known only through the descriptor in their statement.

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
