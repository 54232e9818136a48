//! Network options, as a plain value; the registry adapter makes its own settings from it.

use std::path::PathBuf;

use clap::Args;

use super::config::ConfigFiles;
use super::rate::rate;

/// The options, for every command that speaks to registries.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// More certificates (PEM) that registries may be signed by
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A host whose certificate is not checked
    #[arg(long, value_name = "HOST")]
    pub insecure: Vec<String>,
    /// A host that is spoken to without TLS
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,
    /// Credentials, in the form of docker's config.json
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Lets registry HOST send its tokens' requests to another HOST
    #[arg(long, value_name = "HOST=HOST", value_parser = pair)]
    pub realm: Vec<(String, String)>,
    /// Bytes a second over all registries, both ways together: 80MiB
    #[arg(long, value_name = "SIZE", value_parser = typed_rate)]
    pub limit_rate: Option<u64>,
    /// How often a failed request is tried again [default: 5, or the configuration's]
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// What else is said of registries.
    #[command(flatten)]
    pub config: ConfigFiles,
}

fn typed_rate(text: &str) -> Result<u64, String> {
    rate(text).map_err(|_| "expected bytes a second, such as 80MiB".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected HOST=HOST".to_owned()),
    }
}
