//! `schema`: prints the JSON Schemas of files that packmule reads and writes, made from the types
//! that do so.

use serde_json::Value;

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::network::config::tables;
use crate::cli::output::Outcome;

/// `schema NAME`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// File to describe: config (packmule.toml), trust or policy (trust.toml), receipt, audit (a
    /// line of an audit log), report (FILE.json of --report)
    #[arg(value_enum)]
    name: Name,
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    /// packmule.toml
    Config,
    /// trust.toml
    #[value(alias = "policy")]
    Trust,
    /// A receipt
    Receipt,
    /// A line of an audit log
    Audit,
    /// FILE.json of `--report`
    Report,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Only class bug.
    pub fn run(self, _: &mut Session<'_>) -> Result<Outcome, Fault> {
        let schema = match self.name {
            Name::Config => config(),
            Name::Trust => trust(),
            Name::Receipt => receipt(),
            Name::Audit => audit(),
            Name::Report => report(),
        };
        let text = serde_json::to_string_pretty(&schema)
            .map_err(|error| Fault::new(Class::Bug, format!("schema: {error}")))?;
        Ok(Outcome::new(text, schema))
    }
}

/// Returns the schema of packmule.toml.
pub fn config() -> Value {
    let mut schema: Value = schemars::schema_for!(tables::File).into();
    without_null(&mut schema);
    schema
}

/// Returns the schema of trust.toml.
pub fn trust() -> Value {
    let mut schema: Value = schemars::schema_for!(crate::signing::policy::file::File).into();
    without_null(&mut schema);
    schema
}

/// Returns the schema of a receipt.
pub fn receipt() -> Value {
    let mut schema: Value = schemars::schema_for!(crate::receipt::Receipt).into();
    without_null(&mut schema);
    schema
}

/// Returns the schema of a JSON report.
pub fn report() -> Value {
    let settings = schemars::generate::SchemaSettings::default().for_serialize();
    let mut schema: Value = settings.into_generator().into_root_schema_for::<crate::report::Page>().into();
    // Missing values are left out, as in TOML.
    without_null(&mut schema);
    schema
}

/// Returns the schema of a line of an audit log.
pub fn audit() -> Value {
    let mut schema: Value = schemars::schema_for!(crate::audit::Line).into();
    without_null(&mut schema);
    schema
}

/// Removes null from a schema: TOML and the canonical JSON forms leave out optional values instead.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("default");
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    members.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(forms)) = members.get_mut("anyOf") {
                forms.retain(|form| form["type"] != "null");
                if let [Value::Object(one)] = forms.as_slice() {
                    let one = one.clone();
                    members.remove("anyOf");
                    members.extend(one.into_iter().filter(|(key, _)| key != "description"));
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        _ => {}
    }
}
