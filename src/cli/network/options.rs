//! Network options as a plain value; the registry module makes its own settings from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::config::ConfigFiles;
use super::rate::rate;
use crate::cli::args::time::time;

/// The options of every command that uses registries.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// File of additional root certificates (PEM) to trust for registries
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Host whose certificate is not checked; repeatable
    #[arg(long, value_name = "HOST")]
    pub insecure: Vec<String>,
    /// Host to reach by plain HTTP, without TLS; repeatable
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,
    /// File of logins, in the format of docker's config.json
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Let the registry at the first HOST send its login to a token server at the second;
    /// repeatable
    #[arg(long, value_name = "HOST=HOST", value_parser = pair)]
    pub realm: Vec<(String, String)>,
    /// Maximum bytes per second over all registries, both directions together: 80MiB
    #[arg(long, value_name = "SIZE", value_parser = typed_rate)]
    pub limit_rate: Option<u64>,
    /// Number of retries of a failed request [default: 5, or that of the configuration]
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// How long a registry is waited for that has answered in this run and no longer does: 90s, 3m, 1h; 0: not at all
    #[arg(long, value_name = "T", value_parser = patience, default_value = "3m")]
    pub retry_for: Patience,
    /// Configuration files with further settings for registries.
    #[command(flatten)]
    pub config: ConfigFiles,
}

/// How long a registry is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(180))
    }
}

/// T: a number of seconds, minutes or hours; 0.
fn patience(text: &str) -> Result<Patience, String> {
    if text == "0" {
        return Ok(Patience(Duration::ZERO));
    }
    time(text).map(Patience).map_err(|_| "expected a time such as 90s, 3m or 1h, or 0".to_owned())
}

fn typed_rate(text: &str) -> Result<u64, String> {
    rate(text).map_err(|_| "expected bytes per second, such as 80MiB".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected HOST=HOST".to_owned()),
    }
}
