//! The place of `module` in a build without PKCS#11: one refusal, and no module is loaded.

use zeroize::Zeroizing;

use super::Uri;
use crate::base::fault::{Class, Fault};
use crate::signing::private::SigningKey;

/// No modules.
#[derive(Default)]
pub struct Modules {}

impl Modules {
    /// # Errors
    /// Class usage, always.
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
