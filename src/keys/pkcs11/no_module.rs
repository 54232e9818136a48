//! Replacement for `module` in a build without PKCS#11: refuses every key and loads nothing.

use zeroize::Zeroizing;

use super::Uri;
use crate::base::fault::{Class, Fault};
use crate::signing::private::SigningKey;

/// Empty set of modules.
#[derive(Default)]
pub struct Modules {}

impl Modules {
    /// # Errors
    /// [`Class::Usage`], always.
    pub fn open(
        &mut self,
        uri: &Uri,
        _: impl FnOnce(&str) -> Result<Zeroizing<String>, Fault>,
    ) -> Result<SigningKey, Fault> {
        let what = format!("key {uri}: this build knows no PKCS#11");
        Err(Fault::new(Class::Usage, what)
            .help("build it with --features pkcs11, or sign elsewhere: sign --payload, --attach"))
    }
}
