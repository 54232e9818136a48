//! Files that tell a cluster after an import where the content is: they lead the names in manifests
//! to the registry that has it now (`spec/emit.md`).
//!
//! Everything comes from receipts; nothing is asked, guessed or written here. Each kind of file has
//! its own module, over [`names`].

mod containerd;
pub mod emitted;
mod helm_values;
mod images;
mod k3s;
pub mod kind;
mod kustomize;
pub mod names;
mod openshift;
mod registries_conf;
pub mod scheme;
#[cfg(test)]
mod tests;
mod write;

pub use self::emitted::{Emitted, File, Unmapped};
pub use self::kind::Kind;
pub use self::write::{Options, write};
