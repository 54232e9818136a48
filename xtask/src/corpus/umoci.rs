//! One image written completely by umoci, including its manifest, config and layer.

use super::base;
use super::layout::{Kind, Layout};
use crate::install::Tools;
use crate::shell::{self, Failed};
use serde_json::Value;
use std::path::Path;

const CREATED: &str = "2020-09-13T12:26:40Z";

/// Creates the image in a layout of its own and moves its blobs into `layout`.
pub fn image(layout: &mut Layout, tools: &Tools, tree: &Path, work: &Path) -> Result<(), Failed> {
    let umoci = tools.get("umoci")?;
    let own = work.join("umoci");
    let tar = work.join("umoci.tar");
    base::part(tree, &["usr/lib/apt", "usr/sbin"], "umoci", &tar)?;
    let image = format!("{}:one", own.display());
    let history = format!("--history.created={CREATED}");
    shell::quiet(shell::command(umoci).args(["init", "--layout"]).arg(&own))?;
    shell::quiet(shell::command(umoci).args(["new", "--image", &image]))?;
    shell::quiet(shell::command(umoci).args(["raw", "add-layer", &history, "--image", &image]).arg(&tar))?;
    let created = format!("--created={CREATED}");
    shell::quiet(shell::command(umoci).args(["config", "--no-history", &created, "--image", &image]))?;

    let index: Value = serde_json::from_slice(&std::fs::read(own.join("index.json"))?)?;
    let held = &index["manifests"][0];
    let bytes = std::fs::read(blob(&own, held))?;
    let document: Value = serde_json::from_slice(&bytes)?;
    let leaves = document["layers"].as_array().into_iter().flatten();
    for leaf in leaves.chain([&document["config"]]) {
        layout.file(leaf["mediaType"].as_str().unwrap_or_default(), &blob(&own, leaf))?;
    }
    let manifest = layout.bytes(super::recipe::MANIFEST, &bytes)?;
    layout.publish("corpus/app/umoci", Some("1"), &manifest, Kind("image"), None);
    Ok(())
}

fn blob(own: &Path, descriptor: &Value) -> std::path::PathBuf {
    own.join("blobs").join(descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}
