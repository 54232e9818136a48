//! Finds access to S3 where the AWS tools look for it: the environment, the profile files, the roles of containers and
//! machines, in this order.
//!
//! Reads neither the environment nor files itself: the caller passes both as functions, and the files are read again
//! when the store refuses a key of a profile.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Access;
use super::profile::{self, Profile};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::secret_source::SecretSource;

/// The texts of `~/.aws/credentials` and `~/.aws/config`; empty if absent.
pub type Texts = (Zeroizing<String>, Zeroizing<String>);
/// Reads the profile files.
pub type Files = Arc<dyn Fn() -> Result<Texts, Error> + Send + Sync>;

/// Access that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Way to get access.
    pub access: Access,
    /// Region, if one is named.
    pub region: Option<String>,
    /// Address of a compatible store, if one is named.
    pub endpoint: Option<String>,
}

/// A secret that never changes.
struct Fixed(Zeroizing<String>);

impl SecretSource for Fixed {
    fn read(&self, _: bool) -> Result<Zeroizing<String>, Error> {
        Ok(self.0.clone())
    }
}

/// Which part of a profile.
#[derive(Clone, Copy)]
enum Part {
    Id,
    Secret,
    Session,
}

/// A part of a profile, read from its files each time.
struct FromProfile {
    files: Files,
    name: String,
    part: Part,
}

impl SecretSource for FromProfile {
    fn read(&self, _: bool) -> Result<Zeroizing<String>, Error> {
        let profile = read(&self.files, &self.name)?;
        let part = profile.and_then(|profile| match self.part {
            Part::Id => profile.keys.map(|(id, _)| Zeroizing::new(id)),
            Part::Secret => profile.keys.map(|(_, secret)| secret),
            Part::Session => profile.session,
        });
        part.ok_or_else(|| absent(&self.name))
    }
}

fn read(files: &Files, name: &str) -> Result<Option<Profile>, Error> {
    let (credentials, config) = files()?;
    profile::find(&credentials, &config, name)
}

fn absent(name: &str) -> Error {
    Error::new(Kind::Policy, format!("aws profile {}: expected an access key, found none", escape(name)))
        .help("name a profile of ~/.aws/credentials, or give the key in the [storage] table")
}

/// Finds access. `variable`: a variable of the environment; `named`: a profile that the configuration names, which
/// comes before everything else.
///
/// # Errors
/// [`Kind::Policy`] for a named profile that is missing or unusable; those of `files`.
pub fn find(variable: &dyn Fn(&str) -> Option<String>, files: &Files, named: Option<&str>) -> Result<Found, Error> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let chosen = named.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
    let profile = read(files, chosen.as_deref().unwrap_or("default"))?;
    if let Some(name) = &chosen
        && profile.is_none()
    {
        return Err(absent(name));
    }
    let profile = profile.unwrap_or_default();
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
    let found = |access: Access| Found {
        access,
        region: region.clone().or_else(|| profile.region.clone()),
        endpoint: endpoint.clone().or_else(|| profile.endpoint.clone()),
    };
    let fixed = |text: String| -> Arc<dyn SecretSource> { Arc::new(Fixed(Zeroizing::new(text))) };
    if named.is_none() {
        if let Some((id, secret)) = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY")) {
            let session = variable("AWS_SESSION_TOKEN").map(fixed);
            return Ok(found(Access::Keys { id: fixed(id), secret: fixed(secret), session }));
        }
        if let Some((role, file)) = variable("AWS_ROLE_ARN").zip(variable("AWS_WEB_IDENTITY_TOKEN_FILE")) {
            return Ok(found(web_identity(role, file, variable("AWS_ROLE_SESSION_NAME"))));
        }
    }
    if profile.keys.is_some() {
        let name = chosen.unwrap_or_else(|| "default".to_owned());
        let part = |part: Part| -> Arc<dyn SecretSource> {
            Arc::new(FromProfile { files: Arc::clone(files), name: name.clone(), part })
        };
        let session = profile.session.is_some().then(|| part(Part::Session));
        return Ok(found(Access::Keys { id: part(Part::Id), secret: part(Part::Secret), session }));
    }
    if let Some((role, file)) = profile.web_identity.clone() {
        return Ok(found(web_identity(role, file, None)));
    }
    if let Some(name) = &chosen {
        return Err(absent(name));
    }
    if let Some(address) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Ok(found(Access::Task(address)));
    }
    let pod = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").zip(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
    if let Some((address, file)) = pod {
        return Ok(found(Access::Pod { address, token_file: PathBuf::from(file) }));
    }
    Ok(found(Access::Instance { endpoint: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") }))
}

fn web_identity(role: String, file: String, session: Option<String>) -> Access {
    Access::WebIdentity { role, token_file: PathBuf::from(file), session, endpoint: None }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn files(credentials: &str, config: &str) -> Files {
        let (credentials, config) = (credentials.to_owned(), config.to_owned());
        Arc::new(move || Ok((Zeroizing::new(credentials.clone()), Zeroizing::new(config.clone()))))
    }

    const CREDENTIALS: &str =
        "[default]\naws_access_key_id=D\naws_secret_access_key=d\n[p]\naws_access_key_id=P\naws_secret_access_key=p\n";
    const CONFIG: &str = "[profile empty]\nregion=r1\n[default]\nregion=r2\n";

    fn chosen(variables: &[(&str, &str)], credentials: &str, named: Option<&str>) -> String {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match find(&variable, &files(credentials, CONFIG), named) {
            Ok(Found { access: Access::Keys { id, .. }, .. }) => id.read(false).unwrap().to_string(),
            Ok(Found { access, .. }) => format!("{access:?}"),
            Err(error) => error.what,
        }
    }

    #[test]
    fn the_order_is_that_of_the_aws_tools() {
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e")];
        let web = [("AWS_ROLE_ARN", "r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")];
        let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "u"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t")];
        assert_eq!(chosen(&[&keys[..], &web[..]].concat(), CREDENTIALS, None), "E");
        assert_eq!(chosen(&keys[..1], CREDENTIALS, None), "D", "half a key is none");
        assert_eq!(chosen(&web, CREDENTIALS, None), "WebIdentity");
        assert_eq!(chosen(&[], CREDENTIALS, None), "D");
        assert_eq!(chosen(&[("AWS_PROFILE", "p")], CREDENTIALS, None), "P");
        assert_eq!(chosen(&keys, CREDENTIALS, Some("p")), "P", "the configuration comes first");
        assert_eq!(chosen(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")], "", None), "Task");
        assert_eq!(chosen(&pod, "", None), "Pod");
        assert_eq!(chosen(&[("AWS_ACCESS_KEY_ID", "")], "", None), "Instance");
        for missing in ["none", "empty"] {
            let error = chosen(&[], CREDENTIALS, Some(missing));
            assert!(error.contains(&format!("aws profile {missing}")), "{error}");
        }
    }

    #[test]
    fn a_profile_is_read_again() {
        let text = Arc::new(Mutex::new(CREDENTIALS.to_owned()));
        let now = Arc::clone(&text);
        let files: Files = Arc::new(move || Ok((Zeroizing::new(now.lock().unwrap().clone()), Zeroizing::default())));
        let found = find(&|_| None, &files, None).unwrap();
        let Access::Keys { secret, .. } = found.access else { panic!() };
        assert_eq!(secret.read(false).unwrap().as_str(), "d");
        *text.lock().unwrap() = CREDENTIALS.replace("=d\n", "=new\n");
        assert_eq!(secret.read(true).unwrap().as_str(), "new");
    }

    #[test]
    fn region_and_endpoint_come_from_the_environment_first() {
        let variable = |name: &str| (name == "AWS_DEFAULT_REGION").then(|| "env".to_owned());
        assert_eq!(find(&variable, &files("", CONFIG), None).unwrap().region.as_deref(), Some("env"));
        assert_eq!(find(&|_| None, &files("", CONFIG), None).unwrap().region.as_deref(), Some("r2"));
    }
}
