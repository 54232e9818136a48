//! Trying a login: the registry's own address, no repository.

use reqwest::Method;

use super::call::Call;
use super::registry::Registry;
use crate::content::{Error, Kind};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::body::SMALL;

impl Registry {
    /// Logs in with the login that the settings give for this registry. `false`: it asks for none, so nothing was tried.
    pub fn log_in(&self) -> Result<bool, Error> {
        let url = self.http.base()?;
        let asked = self.http.challenge().is_some();
        let answer = self.ask(&Call::new(Method::GET, url, Scopes::none(), "login"), SMALL)?;
        if !answer.status.is_success() {
            return Err(self.refusal(&answer, "login"));
        }
        if let Some(realm) = self.auth.withheld() {
            let what = format_args!("login: its token server is {realm}, which was given no login");
            let help = format!("if {realm} may have it, say so with --realm {}={realm}", self.http.name);
            return Err(self.http.error(Kind::Policy, what).help(help));
        }
        Ok(asked)
    }
}
