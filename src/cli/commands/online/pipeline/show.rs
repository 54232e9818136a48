//! Output of `pipeline show` and `pipeline list`. Secrets are only named.

use serde_json::{Value, json};

use crate::base::fault::escape;
use crate::cli::network::config::Config;
use crate::cli::network::config::pipelines::{Export, Import, Receipt};
use crate::cli::output::Outcome;
use crate::cli::pipelines::find::Pipeline;
use crate::decide::select::Referrers;
use crate::secret::Secret;
use crate::signing::policy::Glob;

/// Returns everything that a pipeline says.
pub(super) fn shown(pipeline: Pipeline<'_>) -> (String, Value) {
    let lines = match pipeline {
        Pipeline::Export(export) => of_export(export),
        Pipeline::Import(import) => of_import(import),
    };
    let lines: Vec<(&str, Value)> = lines.into_iter().filter(|(_, value)| !is_empty(value)).collect();
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let text = lines.iter().map(|(key, value)| format!("{key:14} {}\n", escape(&word(value)))).collect();
    (text, lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn secret(secret: Option<&Secret>) -> Value {
    json!(secret.map(|secret| secret.source.to_string()))
}

fn paths(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

fn emit(receipt: &Receipt) -> Value {
    receipt.emit.iter().map(|(kind, dir)| (kind.name().to_owned(), json!(dir))).collect()
}

fn of_export(export: &Export) -> Vec<(&'static str, Value)> {
    let Export { artifacts, release, filters, .. } = export;
    let selectors: Vec<String> = artifacts.selectors.iter().map(ToString::to_string).collect();
    let referrers = match &filters.referrers {
        Referrers::All => json!("all"),
        Referrers::None => json!("none"),
        Referrers::Types(types) => json!(types),
    };
    let platforms: Vec<String> = filters.platforms.iter().map(ToString::to_string).collect();
    let repositories = release.repositories.as_ref();
    let repositories = repositories.map(|list| list.iter().map(Glob::as_str).collect::<Vec<_>>());
    vec![
        ("pipeline", json!(format!("export.{}", export.name))),
        ("artifacts", json!(selectors)),
        ("images_in", json!(paths(&artifacts.lists))),
        ("to", json!(export.place.to_string())),
        ("name", json!(export.bundle)),
        ("channel", json!(export.channel)),
        ("epoch", json!(export.epoch)),
        ("expires", json!(export.expires)),
        ("base", json!(export.bases)),
        ("stage", json!(export.stage)),
        ("sign", json!(paths(&export.sign))),
        ("passphrase", secret(export.passphrase.as_ref())),
        ("signatures", json!(Some(release.signatures).filter(|count| *count > 0))),
        ("repositories", json!(repositories)),
        ("platforms", json!(platforms)),
        ("index", json!(format!("{:?}", export.index).to_lowercase())),
        ("referrers", referrers),
        ("foreign", json!(export.foreign)),
        ("annotations", json!(export.annotations)),
        ("volume_size", json!(export.volume_size)),
        ("overwrite", json!(export.overwrite)),
        ("allow_partial", json!(export.allow_partial)),
        ("at", json!(export.at.to_string())),
    ]
}

fn of_import(import: &Import) -> Vec<(&'static str, Value)> {
    let receipt = import.receipt.as_ref();
    vec![
        ("pipeline", json!(format!("import.{}", import.name))),
        ("from", json!(import.place.to_string())),
        ("to", json!(import.to)),
        ("policy", json!(import.policy)),
        ("map", json!(import.maps)),
        ("keep_host", json!(import.keep_host)),
        ("tag_conflict", json!(format!("{:?}", import.tag_conflict).to_lowercase())),
        ("keep_going", json!(import.keep_going)),
        ("delete_source", json!(import.delete_source)),
        ("trigger", json!(import.trigger)),
        ("interval", json!(format!("{}s", import.interval.as_secs()))),
        ("receipts", json!(receipt.map(|receipt| &receipt.dir))),
        ("sign", json!(receipt.map(|receipt| paths(&receipt.sign)))),
        ("passphrase", secret(receipt.and_then(|receipt| receipt.passphrase.as_ref()))),
        ("emit", receipt.map_or(Value::Null, emit)),
        ("at", json!(import.at.to_string())),
    ]
}

/// Returns the list of all pipelines.
pub(super) fn list(config: &Config) -> Outcome {
    let exports = config.exports.values().map(Pipeline::Export);
    let all: Vec<Pipeline<'_>> = exports.chain(config.imports.values().map(Pipeline::Import)).collect();
    let line = |pipeline: &Pipeline<'_>| {
        let name = pipeline.full_name();
        match pipeline {
            Pipeline::Export(export) => {
                let bundle = export.channel.as_ref().map(|channel| format!("{channel}-*"));
                let bundle = bundle.or(export.bundle.as_ref().map(ToString::to_string)).unwrap_or_default();
                format!("{name}  {bundle} -> {}  {}\n", export.place, export.at)
            }
            Pipeline::Import(import) => format!("{name}  {} -> {}  {}\n", import.place, import.to, import.at),
        }
    };
    let text = all.iter().map(line).collect::<String>();
    let list: Vec<Value> = all.into_iter().map(|pipeline| shown(pipeline).1).collect();
    Outcome::new(text, json!({ "pipelines": list }))
}
