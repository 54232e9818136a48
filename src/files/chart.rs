//! Packed Helm charts: what `helm push` makes of one.
//!
//! The archive itself travels as it is. Only its `Chart.yaml` is read, for the config.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::content::FileContent;
use super::hash::hash;
use super::manifest::{self, TITLE};
use super::stamp::Stamped;
use crate::base::fault::{Class, Fault, escape};
use crate::content::Error;
use crate::flow::Flow;
use crate::oci::media_type::OCI_MANIFEST;
use crate::oci::{Descriptor, Document, Tag};
use crate::yaml::{self, Node};

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// Maximum size of a Chart.yaml, in bytes.
const MAX_YAML: u64 = 1 << 20;
/// Number of bytes of an archive in which a Chart.yaml is looked for. Helm itself accepts a chart of
/// 100 MiB.
const LOOKED: u64 = 100 << 20;

/// A chart's own description, in the order in which helm writes its members.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Chart {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    home: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keywords: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    maintainers: Vec<Maintainer>,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    condition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tags: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    app_version: String,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "truth")]
    deprecated: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    kube_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Maintainer {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
struct Dependency {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    repository: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    condition: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "truth")]
    enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    import_values: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    alias: String,
}

impl Chart {
    /// Returns the chart in the file at `path`, whose name is `name`. `None` if it is none: another
    /// name than `*.tgz`, or no Chart.yaml in the one directory of an archive.
    ///
    /// # Errors
    /// [`Class::Format`] if its Chart.yaml cannot be used; [`Class::Io`].
    pub(super) fn read(path: &Path, name: &str, subject: &str) -> Result<Option<Self>, Fault> {
        if Path::new(name).extension().is_none_or(|end| end != "tgz") {
            return Ok(None);
        }
        let file = File::open(path).map_err(|error| Fault::new(Class::Io, format!("{subject}: {error}")))?;
        let Some(yaml) = yaml(file) else { return Ok(None) };
        let bad = |detail: &str| {
            let what = format!("{subject}: Chart.yaml: {}", escape(detail));
            Fault::new(Class::Format, what).help("pack the chart again with `helm package`")
        };
        if yaml.len() as u64 > MAX_YAML {
            return Err(bad(&format!("expected at most {MAX_YAML} bytes (limits exceeded)")));
        }
        let text = std::str::from_utf8(&yaml).map_err(|_| bad("expected UTF-8"))?;
        let chart = Self::parse(text).map_err(|detail| bad(&detail))?;
        Ok(Some(chart))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let chart: Self = serde_json::from_value(yaml_as_json(text)?).map_err(|error| error.to_string())?;
        for (member, text) in [("name", &chart.name), ("version", &chart.version)] {
            if text.is_empty() {
                return Err(format!("expected a {member}, found none"));
            }
        }
        Ok(chart)
    }

    /// Returns its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns its version as helm writes it into a tag.
    ///
    /// # Errors
    /// [`Class::Format`].
    pub(super) fn tag(&self, subject: &str) -> Result<Tag, Fault> {
        Tag::new(&self.version.replace('+', "_")).map_err(|error| {
            Fault::new(Class::Format, format!("{subject}: Chart.yaml: version: {error}"))
                .help("pack the chart again with a version that is SemVer")
        })
    }

    /// Makes its manifest and adds its content: the file, and the provenance next to it.
    ///
    /// # Errors
    /// Those of reading the files.
    pub(super) fn manifest(
        &self,
        flow: &Flow,
        file: Stamped,
        path: &Path,
        content: &mut FileContent,
    ) -> Result<Result<Document, String>, Error> {
        let mut layers = Vec::new();
        let mut provenance = path.to_owned().into_os_string();
        provenance.push(".prov");
        let provenance = PathBuf::from(provenance);
        let signed = provenance.is_file().then(|| Stamped::new(&provenance)).transpose()?;
        for (media_type, file) in [(CONTENT, Some(file)), (PROVENANCE, signed)] {
            let Some(file) = file else { continue };
            let layer = hash(flow, &file)?;
            content.add_file(layer.digest, file);
            layers.push(Descriptor::new(media_type, layer.digest, layer.size));
        }
        // As helm orders them.
        layers.sort_by_key(|layer| layer.digest);
        let config = match serde_json::to_vec(self) {
            Ok(config) => config,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let config = Descriptor::new(CONFIG, content.add_bytes(&config), config.len() as u64);
        let json = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
            "annotations": self.annotations(),
        });
        Ok(manifest::parse(&json))
    }

    /// Returns the annotations that helm sets, except the time, and except those that the chart would
    /// override.
    fn annotations(&self) -> BTreeMap<String, String> {
        let own = |name: &str| format!("org.opencontainers.image.{name}");
        let people = self.maintainers.iter().map(|one| match &*one.email {
            "" => one.name.clone(),
            email => format!("{} ({email})", one.name),
        });
        let people = people.collect::<Vec<_>>().join(", ");
        let source = self.sources.first().map(String::as_str).unwrap_or_default();
        let said = [
            (TITLE.to_owned(), &*self.name),
            (own("version"), &self.version),
            (own("description"), &self.description),
            (own("url"), &self.home),
            (own("source"), source),
            (own("authors"), &people),
        ];
        let fixed = [TITLE.to_owned(), own("version")];
        let mut all = self.annotations.clone();
        all.retain(|key, _| !fixed.contains(key));
        for (key, value) in said {
            if !value.trim().is_empty() {
                all.entry(key).or_insert_with(|| value.to_owned());
            }
        }
        all
    }
}

/// Returns the one document of a Chart.yaml as JSON, in which every scalar is a text. Members without
/// a value are left out, annotations without one are empty, as in helm.
///
/// # Errors
/// The reason why it cannot be read.
fn yaml_as_json(text: &str) -> Result<Value, String> {
    let at = |line: usize, reason: &str| format!("line {line}: {reason}");
    let mut documents = yaml::parse(text).map_err(|error| at(error.line, &error.reason))?;
    documents.retain(|document| !document.is_empty());
    let [document] = &documents[..] else {
        return Err(format!("expected one document, found {}", documents.len()));
    };
    json(document, false)
}

fn json(node: &Node, keeps_empty: bool) -> Result<Value, String> {
    match &node.value {
        yaml::Value::Scalar(text, _) => Ok(Value::String(node.text().map_or_else(String::new, |_| text.clone()))),
        yaml::Value::Sequence(items) => {
            items.iter().map(|item| json(item, false)).collect::<Result<_, _>>().map(Value::Array)
        }
        yaml::Value::Mapping(entries) => {
            let mut members = serde_json::Map::new();
            let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
            for (key, value) in entries {
                if let Some(first) = lines.insert(key, value.line) {
                    return Err(format!("line {}: expected {key} once, found it in line {first} too", value.line));
                }
                if keeps_empty || !value.is_empty() {
                    members.insert(key.clone(), json(value, key == "annotations")?);
                }
            }
            Ok(Value::Object(members))
        }
    }
}

/// Reads a truth value of YAML, which is a text here.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(serde::de::Error::custom(format_args!("expected true or false, found {text:?}"))),
    }
}

/// Returns the beginning of `NAME/Chart.yaml`, one byte more than [`MAX_YAML`] at most; `None` if the
/// file is no packed archive with such a member.
fn yaml(file: File) -> Option<Vec<u8>> {
    let plain = flate2::bufread::MultiGzDecoder::new(BufReader::new(file)).take(LOOKED);
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        let is_it = {
            let path = entry.path_bytes();
            let path = path.strip_prefix(b"./").unwrap_or(&path);
            let mut parts = path.split(|byte| *byte == b'/').skip(1);
            parts.next() == Some(b"Chart.yaml") && parts.next().is_none()
        };
        if is_it {
            let mut content = Vec::new();
            entry.take(MAX_YAML + 1).read_to_end(&mut content).ok()?;
            return Some(content);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_stay_as_they_are_written() {
        let text = "# a chart\napiVersion: v2\nname: app\nversion: 1.10.0+up2\nappVersion: 1.10\ntype: application\n\
            deprecated: false\nkubeVersion: '>= 1.20'\nsources: [https://a.example]\nunknown: {a: 1}\n\
            maintainers:\n  - name: A\n    email: a@a.example\n  - name: B\n\
            annotations:\n  count: 3\ndependencies:\n  - name: db\n    version: ~1.2\n    repository: oci://h.example/c\n\
            \x20   import-values: [data]\n";
        let chart = Chart::parse(text).unwrap();
        assert_eq!(
            serde_json::to_string(&chart).unwrap(),
            concat!(
                r#"{"name":"app","sources":["https://a.example"],"version":"1.10.0+up2","#,
                r#""maintainers":[{"name":"A","email":"a@a.example"},{"name":"B"}],"apiVersion":"v2","appVersion":"1.10","#,
                r#""annotations":{"count":"3"},"kubeVersion":">= 1.20","#,
                r#""dependencies":[{"name":"db","version":"~1.2","repository":"oci://h.example/c","import-values":["data"]}],"#,
                r#""type":"application"}"#,
            )
        );
        assert_eq!(chart.tag("x").unwrap().as_str(), "1.10.0_up2");
        let said = chart.annotations();
        assert_eq!(said["org.opencontainers.image.authors"], "A (a@a.example), B");
        assert_eq!((&*said["org.opencontainers.image.title"], &*said["count"]), ("app", "3"));
    }

    #[test]
    fn members_are_read_as_helm_reads_them() {
        let text = "---\nname: app\nversion: 1.0.0\nhome:\ndeprecated: yes\nannotations: {a: , b: ~, c: 'x'}\n\
            dependencies: [{name: d, repository: '', enabled: true, import-values: [{child: x, parent: y}]}]\n\
            maintainers: &m [{name: A}]\n...\n";
        let chart = Chart::parse(text).unwrap();
        assert!(chart.deprecated && chart.home.is_empty() && chart.dependencies[0].enabled);
        let notes: Vec<(&str, &str)> = chart.annotations.iter().map(|(key, text)| (&**key, &**text)).collect();
        assert_eq!(notes, [("a", ""), ("b", ""), ("c", "x")]);
        assert_eq!(chart.dependencies[0].import_values, [json!({"child": "x", "parent": "y"})]);
    }

    #[test]
    fn a_chart_without_name_or_version_is_refused() {
        for wrong in [
            "",
            "name: a",
            "version: 1.0.0",
            "name: [a]\nversion: 1.0.0",
            "- a",
            "name: a\nname: b\nversion: 1",
            "name: a\nversion: 1\n---\nname: b\nversion: 1\n",
            "name: a\nversion: 1\ndeprecated: perhaps\n",
            "name: a\nversion: 1\n\tx: 1\n",
        ] {
            assert!(Chart::parse(wrong).is_err(), "{wrong}");
        }
        let twice = Chart::parse("name: a\nversion: 1\nname: b\n").unwrap_err();
        assert!(twice.contains("line 3") && twice.contains("line 1"), "{twice}");
        assert!(Chart::parse("name: a\nversion: 'a b'").unwrap().tag("x").is_err());
    }
}
