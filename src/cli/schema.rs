//! `schema`: the JSON Schema of what packmule reads, made from the very types that read it.

use serde_json::Value;

use super::Session;
use super::config::tables;
use super::report::Outcome;
use crate::fault::{Class, Fault};

/// `schema NAME`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// config: packmule.toml
    #[arg(value_enum)]
    name: Name,
}

/// What there is a schema of.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    /// packmule.toml
    Config,
}

impl Args {
    /// # Errors
    /// None but a bug.
    pub fn run(self, _: &mut Session<'_>) -> Result<Outcome, Fault> {
        let schema: Value = match self.name {
            Name::Config => schemars::schema_for!(tables::File).into(),
        };
        let text = serde_json::to_string_pretty(&schema)
            .map_err(|error| Fault::new(Class::Bug, format!("schema: {error}")))?;
        Ok(Outcome::new(text, schema))
    }
}
