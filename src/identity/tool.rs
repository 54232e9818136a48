//! Tokens of a user, from the cloud's command line tool (`az`), where the user is logged in.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::cloud::Audience;
use super::kept::Fresh;
use crate::content::{Error, Kind};
use crate::program::{self, Failure, Limits, Surroundings};

/// The program.
const TOOL: &str = "az";
/// Most bytes of its answer.
const OUTPUT: usize = 256 << 10;
/// Longest time for it: it is slow to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that its token lasts if it does not say so in seconds since 1970, as versions before 2.54.0.
const UNSAID: Duration = Duration::from_secs(300);

/// Answer of `az account get-access-token`.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "accessToken")]
    token: Option<String>,
    expires_on: Option<u64>,
}

/// Requests a token for `resource`.
pub(super) fn token(
    surroundings: &Surroundings,
    tenant: Option<&str>,
    audience: Audience,
    resource: &str,
    now: i64,
) -> Result<Fresh, Error> {
    let scope = format!("{resource}/.default");
    let mut words: Vec<String> =
        ["account", "get-access-token", "--output", "json", "--scope", &scope].map(str::to_owned).into();
    if let Some(tenant) = tenant {
        words.extend(["--tenant".to_owned(), tenant.to_owned()]);
    }
    let subject = format!("token of {TOOL} for {}", audience.shown());
    let limits = Limits { output: OUTPUT, time: PATIENCE };
    let said = program::run::to_end(TOOL, &words, b"", surroundings, limits).map_err(|failure| {
        let (kind, help) = match failure {
            Failure::Absent => (Kind::Policy, "install the Azure CLI, or use another identity"),
            Failure::Failed { .. } => (Kind::Denied, "log in with `az login` as the same user, for the same cloud"),
            _ => (Kind::Failed, "run `az account get-access-token` by hand"),
        };
        Error::new(kind, format!("{subject}: {failure}")).help(help)
    })?;
    let read: Option<Said> = serde_json::from_slice(&said).ok();
    let wrong = || {
        Error::new(Kind::Failed, format!("{subject}: expected JSON with accessToken, found something else"))
            .help("run `az account get-access-token` by hand")
    };
    let Said { token, expires_on } = read.ok_or_else(wrong)?;
    let value = token.map(Zeroizing::new).ok_or_else(wrong)?;
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let until = expires_on.and_then(|end| end.checked_sub(u64::try_from(now).ok()?));
    Ok(Fresh { value, life: Some(until.map_or(UNSAID, Duration::from_secs)) })
}
