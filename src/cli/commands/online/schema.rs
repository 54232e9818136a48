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
    let mut schema: Value = schemars::schema_for!(crate::signing::policy::tables::File).into();
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::Page;
    use crate::report::tests::{full, many};

    /// Checks a value against a schema, as far as the keywords of this schema go.
    fn wrong(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            return wrong(value, root.pointer(name.trim_start_matches('#')).unwrap(), root, at, found);
        }
        if let Some(forms) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let fits = |form: &&Value| {
                let mut found = Vec::new();
                wrong(value, form, root, at, &mut found);
                found.is_empty()
            };
            if forms.iter().find(fits).is_none() {
                found.push(format!("{at}: {value} is none of {forms:?}"));
            }
            return;
        }
        let is_listed = schema["enum"].as_array().is_none_or(|list| list.contains(value));
        if !is_listed || schema.get("const").is_some_and(|one| one != value) {
            found.push(format!("{at}: {value}"));
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if schema.get("type").is_some_and(|one| one != kind) {
            found.push(format!("{at}: expected {}, found {kind}", schema["type"]));
        }
        if let Value::Object(members) = value {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{at}: missing {name}"));
                }
            }
            for (name, member) in members {
                let open = schema.get("additionalProperties").filter(|one| one.is_object());
                match schema["properties"].get(name).or(open) {
                    Some(schema) => wrong(member, schema, root, &format!("{at}.{name}"), found),
                    None => found.push(format!("{at}.{name}: not in the schema")),
                }
            }
        }
        for (index, one) in value.as_array().into_iter().flatten().enumerate() {
            wrong(one, &schema["items"], root, &format!("{at}[{index}]"), found);
        }
    }

    #[test]
    fn json_is_what_the_schema_says() {
        let schema = report();
        for page in [full(&mut 0), many(4), Page::default()] {
            let mut value: Value = serde_json::from_str(&page.to_json()).unwrap();
            let mut found = Vec::new();
            wrong(&value, &schema, &schema, "", &mut found);
            assert!(found.is_empty(), "{found:?}");
            value["colour"] = "red".into();
            value.as_object_mut().unwrap().remove("verdict");
            value["exit"] = "0".into();
            wrong(&value, &schema, &schema, "", &mut found);
            assert_eq!(found.len(), 3, "{found:?}");
        }
    }
}
