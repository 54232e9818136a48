//! Trying a login: the registry's own address, no repository.

use reqwest::Method;

use super::authorization::Scopes;
use crate::content::{Error, Kind};
use crate::registry::Registries;
use crate::registry::http::call::{Call, SMALL};

impl Registries {
    /// Logs in at `host` (as references name it) with the login that the settings give for it. `false`: the
    /// registry asks for none, so nothing was tried.
    ///
    /// # Errors
    /// [`Kind::Denied`] where it is refused; [`Kind::Policy`] where the registry names a token server that may not
    /// have it.
    pub fn log_in(&self, host: &str) -> Result<bool, Error> {
        let host = self.named(host)?;
        let url = host.base()?;
        let asked = host.auth.is_asked();
        let answer = host.ask(&Call::new(Method::GET, url, Scopes::none(), "login"), SMALL)?;
        if !answer.status.is_success() {
            return Err(host.refusal(&answer, "login"));
        }
        if let Some(realm) = host.auth.withheld() {
            let what = format_args!("login: its token server is {realm}, which was given no login");
            let help = format!("if {realm} may have it, say so with --realm {}={realm}", host.name);
            return Err(host.error(Kind::Policy, what).help(help));
        }
        Ok(asked)
    }
}
