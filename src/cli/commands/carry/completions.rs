//! `completions`: the script with which a shell completes command lines.

use clap_complete::{Shell, generate};
use serde_json::json;

use crate::base::fault::Fault;
use crate::cli::output::Outcome;
use crate::cli::session::Session;

/// `completions SHELL`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// None.
    #[allow(clippy::unnecessary_wraps, reason = "the form of all commands")]
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let mut script = Vec::new();
        generate(self.shell, &mut (session.grammar)(), "packmule", &mut script);
        let text = String::from_utf8_lossy(&script).into_owned();
        let result = json!({ "shell": self.shell.to_string(), "text": text });
        Ok(Outcome::new(text, result))
    }
}
