//! `logout`: removes a registry's login from the auth files and helpers that keep it.

use serde_json::json;

use super::login::{host, unusable};
use crate::base::fault::Fault;
use crate::cli::Session;
use crate::cli::network::{auth_file, replace};
use crate::cli::output::Outcome;
use crate::registry::auth::docker_config;

/// `logout HOST`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Registry, HOST[:PORT], as in references
    host: String,
    /// Change only this file, in the format of docker's config.json
    #[arg(long, value_name = "FILE")]
    authfile: Option<std::path::PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage for a file or helper that cannot be used; class io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let host = host(&self.host)?;
        let mut removed = Vec::new();
        for path in auth_file::places(self.authfile.as_deref(), session.world) {
            let Some(bytes) = auth_file::read(&path).map_err(unusable)? else { continue };
            let shown = path.display().to_string();
            let at = |error: String| unusable(format!("auth file {shown}: {error}"));
            if let Some((helper, server)) = docker_config::helper(&bytes, host).map_err(at)? {
                let surroundings = session.world.surroundings();
                let ask = |verb| {
                    auth_file::ask(&helper, verb, server.as_bytes(), &surroundings).map_err(|why| at(why.into()))
                };
                // Some helpers fail if there is nothing to erase.
                if ask("get")?.is_some() {
                    ask("erase")?;
                    removed.push(format!("docker-credential-{helper}"));
                }
            }
            if let Some(after) = auth_file::without(&bytes, host).map_err(at)? {
                replace::replace(&path, Some(&bytes), &after).map_err(|error| {
                    Fault::new(replace::class(&error), format!("auth file {shown}: {error}"))
                        .help("make the file writable")
                })?;
                removed.push(shown);
            }
        }
        let text = if removed.is_empty() {
            format!("no login   {host}\n")
        } else {
            removed.iter().map(|place| format!("logged out {host}, kept in {place}\n")).collect()
        };
        Ok(Outcome::new(text, json!({ "host": host, "removed": removed })))
    }
}
