//! Network options as a plain value; the registry module makes its own settings from it.

use std::path::PathBuf;

use clap::Args;

use super::config::ConfigFiles;
use super::rate::rate;

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
    /// Configuration files with further settings for registries.
    #[command(flatten)]
    pub config: ConfigFiles,
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
