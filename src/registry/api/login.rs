//! Tries a login at the address of a registry, without a repository.

use reqwest::Method;

use super::call::Call;
use super::registry::Registry;
use crate::content::{Error, Kind};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;

impl Registry {
    /// Logs in with the login from the settings. Returns `false` if the registry requires none, so
    /// that none was tried.
    pub fn log_in(&self) -> Result<bool, Error> {
        let url = self.http.base()?;
        let asked = self.http.challenge().is_some();
        let answer = self.ask(&Call::new(Method::GET, url, Scopes::none(), "login"), SMALL)?;
        if !answer.status.is_success() {
            return Err(self.refusal(&answer, "login"));
        }
        if let Some(realm) = self.auth.withheld() {
            let what = format_args!("login: it was not sent to the token server {realm}");
            let help = format!("if {realm} may receive it, allow that with --realm {}={realm}", self.http.name);
            return Err(self.http.error(Kind::Policy, what).help(help));
        }
        Ok(asked)
    }
}
