//! Network options, as a plain value; the registry adapter makes its own settings from it.

use std::path::PathBuf;

use clap::Args;

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
    /// How often a failed request is tried again
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub retries: u32,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected HOST=HOST".to_owned()),
    }
}
