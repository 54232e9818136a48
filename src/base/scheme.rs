//! Refusal of places in the form of addresses, and of secrets in them.

use crate::base::fault::Fault;

/// Refuses schemes that this version does not support, and secrets in arguments. (`docker:` and
/// `dir:` are schemes of other tools, but names with a tag here.)
///
/// # Errors
/// Class usage.
pub fn refuse_others(text: &str, subject: &str) -> Result<(), Fault> {
    const LATER: [&str; 6] = ["docker-archive:", "bundle:", "file:", "az://", "s3://", "gs://"];
    if let Some(scheme) = LATER.iter().find(|scheme| text.starts_with(**scheme)) {
        let what = format!("{subject} {scheme}…: not supported in this version");
        return Err(Fault::usage(what, "use a registry reference or oci:DIR"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        // The rest may hold a password or a token, so it is not shown.
        let secret = rest.contains(['@', '?']);
        let what = if secret {
            format!("{subject} {scheme}://…: a secret in an argument")
        } else {
            format!("{subject} {scheme}://…: expected a name without a scheme")
        };
        let help = if secret {
            "give credentials by --authfile or docker's config"
        } else {
            "leave out the scheme: HOST/REPO:TAG"
        };
        return Err(Fault::usage(what, help));
    }
    Ok(())
}

/// Returns the fault for `USER:PASSWORD@HOST…`, without repeating it.
pub fn login(subject: &str) -> Fault {
    let what = format!("{subject} …@…: a secret in an argument");
    Fault::usage(what, "give credentials by --authfile or docker's config")
}
