//! Kubernetes resources, as written and as `helm template` and kustomize print them.
//!
//! Takes every `image:` of every resource, whatever it is nested in: containers of all kinds, image
//! volumes, custom resources. Schemas, configuration texts and arguments are not images; what looks
//! like a reference there is told.

use super::charts;
use super::found::List;
use super::kustomize;
use super::names;
use super::paths::{self, ImagePath};
use super::values;
use crate::yaml::{Node, Value};

/// Reads a resource, or a list of resources.
pub fn read(resource: &Node, own: &[ImagePath], found: &mut List) {
    let kind = resource.text_of("kind").unwrap_or_default();
    let items = resource.get("items").map(Node::items).unwrap_or_default();
    if kind.ends_with("List") && !items.is_empty() {
        items.iter().for_each(|item| read(item, own, found));
        return;
    }
    let name = resource.at(&["metadata", "name"]).and_then(Node::text);
    let title = name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
    match kind {
        "CustomResourceDefinition" => schema(resource, "CRD schema", found),
        "Secret" => secret(resource, &title, found),
        "ConfigMap" => {
            for (key, value) in resource.get("data").map(Node::entries).unwrap_or_default() {
                if let Some(text) = value.text() {
                    found.tell(value.line, &format!("{title} {key}"), text);
                }
            }
        }
        _ => {
            charts::read(kind, resource, &title, found);
            let set = resource.at(&["spec", "images"]).filter(|_| kind == "Kustomization");
            if let Some(set) = set {
                kustomize::images(set, &title, found);
            }
            for image in paths::images(kind, resource, own) {
                let text = image.text().unwrap_or_default();
                if ["http://", "https://", "file://"].iter().any(|scheme| text.starts_with(scheme)) {
                    found.pass(image.line, title.as_str(), "a URL: not an artifact in a registry");
                } else {
                    found.image(image.line, &title, text, &[]);
                }
            }
            Walk { title: &title, joins: kind == "ClusterConfig", found }.node(resource, "", "");
        }
    }
}

fn secret(resource: &Node, title: &str, found: &mut List) {
    let held = ["data", "stringData"].iter().filter_map(|key| resource.get(key));
    if let Some(data) = held.into_iter().find(|data| !data.entries().is_empty()) {
        found.pass(data.line, title, "the data of a Secret is not looked at");
    }
}

/// Tells the defaults of a schema. `image` there is a property, not an image.
fn schema(node: &Node, place: &str, found: &mut List) {
    for (key, value) in node.entries() {
        match value.text() {
            Some(text) if key == "default" => found.tell(value.line, &format!("{place}, a default"), text),
            _ => schema(value, place, found),
        }
    }
    node.items().iter().for_each(|item| schema(item, place, found));
}

struct Walk<'a> {
    title: &'a str,
    /// Whether `version` next to `image` is its tag, as in the configuration of k0s.
    joins: bool,
    found: &'a mut List,
}

impl Walk<'_> {
    /// Walks through a node. `name` names the closest thing around it, `part` its part there.
    fn node(&mut self, node: &Node, name: &str, part: &str) {
        match &node.value {
            Value::Scalar(text, _) => {
                let place = match (part, name) {
                    ("", "") => self.title.to_owned(),
                    (part, "") => format!("{}, {part}", self.title),
                    (part, name) => format!("{}, {part} of {name}", self.title),
                };
                self.found.tell(node.line, &place, text);
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.node(item, name, part)),
            Value::Mapping(entries) => {
                // The name of an environment variable is not that of a container.
                let name = node.text_of("name").filter(|_| part != "env").unwrap_or(name);
                // An image stream of OpenShift: `from: {kind: DockerImage, name: …}`.
                let is_docker_image = node.text_of("kind") == Some("DockerImage");
                for (key, value) in entries {
                    if key == "image" {
                        self.image(node, value, name);
                    } else if let Some(text) = value.text().filter(|_| is_docker_image && key == "name") {
                        self.found.image(value.line, self.title, text, &[]);
                    } else if let Some(text) = value.text().filter(|text| key == "url" && text.starts_with("docker://"))
                    {
                        // A disk of KubeVirt that is imported from a registry.
                        self.found.image(value.line, self.title, text, &[]);
                    } else {
                        self.node(value, name, if part == "env" { part } else { key });
                    }
                }
            }
        }
    }

    fn image(&mut self, around: &Node, value: &Node, name: &str) {
        let title = self.title;
        let place = if name.is_empty() { format!("{title}, image") } else { format!("{title}, image of {name}") };
        match &value.value {
            Value::Scalar(..) => match (value.text(), around.text_of("version").filter(|_| self.joins)) {
                (None, _) => self.found.pass(value.line, place, "empty: names no image"),
                (Some(text), Some(version)) if !names::is_pinned(text) => {
                    self.found.image(value.line, &place, &format!("{text}:{version}"), &[]);
                }
                (Some(text), _) => self.text(around, value, text, &place),
            },
            Value::Mapping(_) if value.text_of("reference").is_some() => {
                let text = value.text_of("reference").unwrap_or_default();
                self.found.image(value.line, &place, text, &[]);
            }
            Value::Mapping(_) if values::is_parts(value) => values::parts(value, &place, self.found),
            _ => self.node(value, name, "image"),
        }
    }

    fn text(&mut self, around: &Node, value: &Node, text: &str, place: &str) {
        match names::check(text) {
            Err(names::Problem::Template(false)) => {
                self.found.pass(value.line, place, "a placeholder that is filled in by the cluster");
            }
            // `$(params.image)` of Tekton.
            Err(names::Problem::Variable) if text.contains("$(") && !text.contains("${") => {
                self.found.pass(value.line, place, "a parameter that is filled in by the cluster");
            }
            _ => values::image(around, value, text, place, self.found),
        }
    }
}
