//! Profiles in the files of the AWS tools, `~/.aws/credentials` and `~/.aws/config`.
//!
//! Parses texts; reads no files. Knows access keys, regions, endpoints and web identities. Other ways to get
//! credentials are refused by name.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::base::fault::escape;
use crate::content::{Error, Kind};

/// A profile.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Id and secret of the access key.
    pub keys: Option<(String, Zeroizing<String>)>,
    /// Token of the session, with keys that end.
    pub session: Option<Zeroizing<String>>,
    /// Region.
    pub region: Option<String>,
    /// Address of a compatible store.
    pub endpoint: Option<String>,
    /// ARN of a role and path of the token file for it.
    pub web_identity: Option<(String, String)>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Ways to get credentials that are not supported, by the key that says so.
const OTHERS: [(&str, &str); 5] = [
    ("credential_process", "a program"),
    ("sso_session", "single sign-on"),
    ("sso_start_url", "single sign-on"),
    ("source_profile", "a role by another profile"),
    ("credential_source", "a role by the machine's credentials"),
];

/// Returns the profile `name` of the texts of both files; an absent file is empty. `None` if there is no such profile.
///
/// # Errors
/// [`Kind::Policy`] for a profile whose credentials come from a way that is not supported.
pub fn find(credentials: &str, config: &str, name: &str) -> Result<Option<Profile>, Error> {
    let heads: &[String] = &[format!("profile {name}"), name.to_owned()];
    let mut values = BTreeMap::new();
    let mut is_there = false;
    // `[NAME]` in `config` is a profile only if it is the default; that in `credentials` always is.
    let heads = if name == "default" { heads } else { &heads[..1] };
    is_there |= section(config, heads, &mut values);
    is_there |= section(credentials, &[name.to_owned()], &mut values);
    if !is_there {
        return Ok(None);
    }
    let text = |key: &str| values.get(key).map(|value| value.to_string());
    let keys = text("aws_access_key_id").zip(values.get("aws_secret_access_key").cloned());
    let web_identity = text("role_arn").zip(text("web_identity_token_file"));
    if keys.is_none()
        && web_identity.is_none()
        && let Some((_, way)) = OTHERS.iter().find(|(key, _)| values.contains_key(*key))
    {
        let what = format!("aws profile {}: expected an access key or a web identity, found {way}", escape(name));
        return Err(Error::new(Kind::Policy, what).help("let that tool write keys for a session, and name these"));
    }
    Ok(Some(Profile {
        keys,
        session: values.get("aws_session_token").cloned(),
        region: text("region"),
        endpoint: text("endpoint_url"),
        web_identity,
    }))
}

/// Adds the values of the sections with one of these heads. Returns whether there is one.
fn section(text: &str, heads: &[String], values: &mut BTreeMap<String, Zeroizing<String>>) -> bool {
    let (mut is_inside, mut is_there) = (false, false);
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(head) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let words: Vec<&str> = head.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
            is_inside = heads.contains(&words.join(" "));
            is_there |= is_inside;
        } else if !is_inside || trimmed.is_empty() || trimmed.starts_with(['#', ';']) || line.starts_with([' ', '\t']) {
            // Indented lines belong to a group of settings, for example those of `s3`.
        } else if let Some((key, value)) = trimmed.split_once('=') {
            // A comment needs a space before it: secrets may contain `#`.
            let value = value.split(" #").next().unwrap_or_default();
            values.insert(key.trim().to_ascii_lowercase(), Zeroizing::new(value.trim().to_owned()));
        }
    }
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
# comment
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key = a/b+c#d= # the key
[other]
aws_access_key_id=AKIDOTHER
aws_secret_access_key=hunter2
aws_session_token=token2
";
    const CONFIG: &str = "\
[default]
region = eu-central-1
s3 =
  region = wrong
  addressing_style = path
[profile other]
region=us-west-2
endpoint_url = https://s3.example
[profile \"web\"]
role_arn = arn:aws:iam::1:role/r
web_identity_token_file = /t
[profile sso]
sso_session = x
[third]
region = nowhere
";

    fn found(name: &str) -> Option<Profile> {
        find(CREDENTIALS, CONFIG, name).unwrap()
    }

    #[test]
    fn both_files_make_a_profile() {
        let default = found("default").unwrap();
        let (id, secret) = default.keys.clone().unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("AKIDDEFAULT", "a/b+c#d="));
        assert_eq!((default.region.as_deref(), default.session), (Some("eu-central-1"), None));
        let other = found("other").unwrap();
        assert_eq!(other.session.as_ref().map(|token| token.as_str()), Some("token2"));
        assert_eq!(other.endpoint.as_deref(), Some("https://s3.example"));
        assert_eq!(found("web").unwrap().web_identity.unwrap().1, "/t");
        assert_eq!(found("third"), None);
        assert_eq!(found("none"), None);
        assert_eq!(find("", "", "default").unwrap(), None);
        assert!(!format!("{other:?}").contains("hunter2"));
    }

    #[test]
    fn other_ways_are_refused_by_name() {
        let error = find(CREDENTIALS, CONFIG, "sso").unwrap_err();
        assert!(error.what.contains("single sign-on"), "{error}");
    }
}
