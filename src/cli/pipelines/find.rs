//! The pipeline that a name means, and how it is to run.

use crate::base::fault::{Fault, differs};
use crate::cli::network::config::Config;
use crate::cli::network::config::pipelines::{Export, Import};

/// A pipeline of the configuration.
#[derive(Clone, Copy, Debug)]
pub enum Pipeline<'a> {
    /// `[export.N]`
    Export(&'a Export),
    /// `[import.N]`
    Import(&'a Import),
}

/// How a pipeline is to run.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Selectors that replace the configured ones.
    pub artifacts: Vec<String>,
    /// Name of the bundle.
    pub name: Option<String>,
    /// Whether to do again what was done.
    pub again: bool,
    /// Whether a channel may start here.
    pub init_state: bool,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Pipeline<'_> {
    /// Returns the kind and the name: `export.monthly`.
    pub fn full_name(&self) -> String {
        match self {
            Self::Export(export) => format!("export.{}", export.name),
            Self::Import(import) => format!("import.{}", import.name),
        }
    }
}

/// Splits `export.N` or `import.N` into the table's name and N; `None` for another text.
pub fn split(name: &str) -> Option<(&'static str, &str)> {
    let (kind, rest) = name.split_once('.')?;
    ["export", "import"].into_iter().find(|one| *one == kind).map(|kind| (kind, rest))
}

/// Returns the pipeline that `name` means: `export.N`, `import.N`, or N alone if only one has it.
///
/// # Errors
/// Class usage if there is none, or both.
pub fn find<'a>(config: &'a Config, name: &str) -> Result<Pipeline<'a>, Fault> {
    let (kind, short) = split(name).map_or((None, name), |(kind, short)| (Some(kind), short));
    let export = config.exports.get(short).filter(|_| kind != Some("import"));
    let import = config.imports.get(short).filter(|_| kind != Some("export"));
    match (export, import) {
        (Some(export), None) => Ok(Pipeline::Export(export)),
        (None, Some(import)) => Ok(Pipeline::Import(import)),
        (Some(_), Some(_)) => {
            let what = differs(
                format_args!("pipeline {name:?}"),
                "one of that name",
                format_args!("export.{short} and import.{short}"),
            );
            Err(Fault::usage(what, format!("write export.{short} or import.{short}")))
        }
        (None, None) => {
            let what = differs(format_args!("pipeline {name:?}"), "a pipeline of that name", "none");
            Err(Fault::usage(what, "see `packmule pipeline list`; `packmule pipeline set` makes one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn t5_a_name_means_one_pipeline() {
        let text = "[export]\n\
            a = { dir = \"/x\", name = \"b\", sign = \"k\", artifacts = [\"alpine:3\"] }\n\
            both = { dir = \"/x\", name = \"b\", sign = \"k\", artifacts = [\"alpine:3\"] }\n\
            [import]\nc = { dir = \"/x\", to = \"oci:y\" }\nboth = { dir = \"/x\", to = \"oci:y\" }\n";
        let mut config = Config::default();
        config.add(Path::new("/c.toml"), text, None).unwrap();
        let found = |name: &str| find(&config, name).map(|found| found.full_name());
        for (name, full) in [
            ("a", "export.a"),
            ("export.a", "export.a"),
            ("c", "import.c"),
            ("export.both", "export.both"),
            ("import.both", "import.both"),
        ] {
            assert_eq!(found(name).unwrap(), full);
        }
        for (name, said) in [("both", "found export.both and import.both"), ("import.a", "none"), ("none", "none")] {
            let fault = found(name).unwrap_err();
            assert!(fault.what.contains(said), "{fault}");
        }
    }
}
