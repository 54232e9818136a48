//! Contents of the test corpus: images and artifacts, one function per family.
//!
//! The names of `Kind` are the values in `expected.json`: index, child, image, attestation, docker,
//! docker-list, nested, pinned, cosign, referrer, chart, artifact.

use super::base::{self, Trees};
use super::layers::{self, Layer, Writer};
use super::layout::{Kind, Layout};
use super::umoci;
use crate::install::Tools;
use crate::shell::{self, Failed};
use serde_json::{Value, json};
use std::path::Path;

/// OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const SPDX: &str = "application/spdx+json";
const CREATED: &str = "2020-09-13T12:26:40Z";

/// A base and an image of it, for one architecture.
struct Base {
    arch: String,
    layer: Layer,
    manifest: Value,
}

/// Builds the whole layout in `dir`. `work` is a scratch folder.
pub fn build(tools: &Tools, dir: &Path, work: &Path) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let trees = base::trees(tools, work)?;
    let native = base_image(&mut layout, tools, &trees.native, Writer::Gzip("-9"), work)?;
    let foreign = base_image(&mut layout, tools, &trees.foreign, Writer::Pigz, work)?;
    let multi =
        index(&mut layout, INDEX, &[entry(&native.manifest, &native.arch), entry(&foreign.manifest, &foreign.arch)])?;
    for tag in ["bookworm", "stable"] {
        layout.publish("corpus/base", Some(tag), &multi, Kind("index"), None);
    }
    for child in [&native.manifest, &foreign.manifest] {
        layout.expect("corpus/base", None, child, Kind("child"), None);
    }
    let web = apps(&mut layout, tools, &trees, &native, work)?;
    database(&mut layout, tools, &trees, &native, &foreign, work)?;
    umoci::image(&mut layout, tools, &trees.native.1, work)?;
    docker(&mut layout, &native, &foreign)?;
    cosign(&mut layout, "corpus/app/web", &web)?;
    referrers(&mut layout, &multi, &native.manifest)?;
    chart(&mut layout, work)?;
    odd(&mut layout, &multi, &[&native.manifest, &foreign.manifest])?;
    layout.finish()
}

fn base_image(
    layout: &mut Layout,
    tools: &Tools,
    (arch, tree): &(String, std::path::PathBuf),
    writer: Writer,
    work: &Path,
) -> Result<Base, Failed> {
    let tar = work.join(format!("base-{arch}.tar"));
    base::whole(tree, &tar)?;
    let layer = layers::add(layout, tools, &tar, writer)?;
    let manifest = image(layout, arch, std::slice::from_ref(&layer), "base")?;
    Ok(Base { arch: arch.clone(), layer, manifest })
}

/// An app: name, tags, and the folders that it adds, with the compressor of each layer.
type App = (&'static str, &'static [&'static str], &'static [(&'static str, Writer)]);

/// Builds five images over one base, each with layers by a different compressor. Returns the first,
/// which cosign's tags refer to.
fn apps(layout: &mut Layout, tools: &Tools, trees: &Trees, base: &Base, work: &Path) -> Result<Value, Failed> {
    let recipes: [App; 5] = [
        ("web", &["1.0", "latest"], &[("usr/share/doc", Writer::Gzip("-1"))]),
        ("queue", &["0.9"], &[("usr/share/perl5", Writer::Zstd)]),
        ("raw", &["1"], &[("usr/share/zoneinfo", Writer::Bare)]),
        ("pig", &["2024-01"], &[("usr/share/man", Writer::Pigz), ("usr/share/locale", Writer::Pigz)]),
        ("mixed", &["v1.2.3"], &[("usr/sbin", Writer::Gzip("-6")), ("usr/share/zoneinfo", Writer::Zstd)]),
    ];
    let mut first = Value::Null;
    for (name, tags, parts) in recipes {
        let mut stack = vec![base.layer.clone()];
        for (folder, writer) in parts {
            let tar = work.join(format!("{name}.tar"));
            base::part(&trees.native.1, &[folder], name, &tar)?;
            stack.push(layers::add(layout, tools, &tar, *writer)?);
        }
        let manifest = image(layout, &base.arch, &stack, name)?;
        for tag in tags {
            layout.publish(&format!("corpus/app/{name}"), Some(tag), &manifest, Kind("image"), None);
        }
        if first.is_null() {
            first = manifest;
        }
    }
    Ok(first)
}

/// Builds an image of two platforms with a build attestation for each child, as BuildKit writes
/// them.
fn database(
    layout: &mut Layout,
    tools: &Tools,
    trees: &Trees,
    native: &Base,
    foreign: &Base,
    work: &Path,
) -> Result<(), Failed> {
    const REPOSITORY: &str = "corpus/app/db";
    let tar = work.join("db.tar");
    let mut entries = Vec::new();
    let mut attestations = Vec::new();
    for (base, tree) in [(native, &trees.native.1), (foreign, &trees.foreign.1)] {
        base::part(tree, &["usr/share/perl5", "usr/lib/apt"], "db", &tar)?;
        let layer = layers::add(layout, tools, &tar, Writer::Gzip("-9"))?;
        let manifest = image(layout, &base.arch, &[base.layer.clone(), layer], "db")?;
        let statement = json!({ "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2", "subject": [{ "digest": manifest["digest"] }] });
        let mut leaf = layout.document("application/vnd.in-toto+json", &statement)?;
        leaf["annotations"] = json!({ "in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2" });
        let config = config(layout, "unknown", "unknown", &[], "attestation")?;
        let attestation = manifest_of(layout, MANIFEST, &config, &[leaf])?;
        let mut about = attestation.clone();
        about["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        about["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest["digest"] });
        layout.expect(REPOSITORY, None, &manifest, Kind("child"), None);
        layout.expect(REPOSITORY, None, &attestation, Kind("child"), None);
        entries.push(entry(&manifest, &base.arch));
        attestations.push(about);
    }
    entries.extend(attestations);
    let multi = index(layout, INDEX, &entries)?;
    layout.publish(REPOSITORY, Some("2.1"), &multi, Kind("index"), None);
    Ok(())
}

/// Builds documents with Docker's media types over the same layers: one image, and a list of two.
fn docker(layout: &mut Layout, native: &Base, foreign: &Base) -> Result<(), Failed> {
    let mut entries = Vec::new();
    for base in [native, foreign] {
        let mut layer = base.layer.descriptor.clone();
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
        let mut config = config(layout, &base.arch, "linux", std::slice::from_ref(&base.layer), "docker")?;
        config["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
        let manifest = manifest_of(layout, DOCKER, &config, &[layer])?;
        layout.expect("corpus/docker/multi", None, &manifest, Kind("child"), None);
        entries.push(entry(&manifest, &base.arch));
    }
    let mut single = entries[0].clone();
    if let Some(members) = single.as_object_mut() {
        members.remove("platform");
    }
    layout.publish("corpus/docker/app", Some("1"), &single, Kind("docker"), None);
    let list = index(layout, DOCKER_LIST, &entries)?;
    layout.publish("corpus/docker/multi", Some("1"), &list, Kind("docker-list"), None);
    Ok(())
}

/// Adds cosign's tags, which contain the digest of the signed image.
fn cosign(layout: &mut Layout, repository: &str, about: &Value) -> Result<(), Failed> {
    let digest = about["digest"].as_str().unwrap_or_default();
    let stem = digest.replace(':', "-");
    let payload = json!({ "critical": { "identity": { "docker-reference": repository },
        "image": { "docker-manifest-digest": digest }, "type": "cosign container image signature" }, "optional": null });
    let mut signature = layout.document("application/vnd.dev.cosign.simplesigning.v1+json", &payload)?;
    signature["annotations"] = json!({ "dev.cosignproject.cosign/signature": "bm90IGEgcmVhbCBvbmU=" });
    let statement = layout.bytes("application/vnd.dsse.envelope.v1+json", br#"{"payload":"e30=","signatures":[]}"#)?;
    let bill = layout.document("text/spdx+json", &json!({ "spdxVersion": "SPDX-2.3", "name": digest }))?;
    for (suffix, leaf) in [("sig", signature), ("att", statement), ("sbom", bill)] {
        let config = config(layout, "", "", &[], suffix)?;
        let manifest = manifest_of(layout, MANIFEST, &config, &[leaf])?;
        layout.publish(repository, Some(&format!("{stem}.{suffix}")), &manifest, Kind("cosign"), None);
    }
    Ok(())
}

/// Adds SBOMs for an index and for its child, and a signature of the first: a referrer of a
/// referrer.
fn referrers(layout: &mut Layout, multi: &Value, child: &Value) -> Result<(), Failed> {
    let mut first = Value::Null;
    for subject in [multi, child] {
        let bill = layout.document(SPDX, &json!({ "spdxVersion": "SPDX-2.3", "name": subject["digest"] }))?;
        let manifest = artifact(layout, SPDX, &[bill], Some(subject))?;
        layout.publish("corpus/base", None, &manifest, Kind("referrer"), Some(subject));
        if first.is_null() {
            first = manifest;
        }
    }
    let signature = layout.bytes("application/jose+json", br#"{"protected":"e30","signature":"AA"}"#)?;
    let manifest = artifact(layout, "application/vnd.cncf.notary.signature", &[signature], Some(&first))?;
    layout.publish("corpus/base", None, &manifest, Kind("referrer"), Some(&first));
    Ok(())
}

/// Adds a Helm chart as `helm push` writes it.
fn chart(layout: &mut Layout, work: &Path) -> Result<(), Failed> {
    let text = "apiVersion: v2\nname: demo\nversion: 0.1.0\n";
    let values = "replicas: 2\nimage: corpus/app/web:1.0\n";
    let tree = work.join("chart");
    std::fs::create_dir_all(tree.join("demo/templates"))?;
    std::fs::write(tree.join("demo/Chart.yaml"), text)?;
    std::fs::write(tree.join("demo/values.yaml"), values)?;
    let tar = work.join("demo.tar");
    base::plain(&tree, &["demo"], &tar)?;
    shell::quiet(shell::command("gzip").args(["-n", "-9", "-f"]).arg(&tar))?;
    let content = layout.file("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &work.join("demo.tar.gz"))?;
    let about = json!({ "apiVersion": "v2", "name": "demo", "version": "0.1.0" });
    let config = layout.document("application/vnd.cncf.helm.config.v1+json", &about)?;
    let manifest = manifest_of(layout, MANIFEST, &config, &[content])?;
    layout.publish("corpus/charts/demo", Some("0.1.0"), &manifest, Kind("chart"), None);
    Ok(())
}

/// Adds valid but rare documents: an empty config and an empty blob, unknown members, an index in
/// an index, no tag at all.
fn odd(layout: &mut Layout, multi: &Value, children: &[&Value]) -> Result<(), Failed> {
    let mut leaves = vec![layout.bytes("text/plain", b"carried as it is\n")?, layout.bytes("text/x-nothing", b"")?];
    leaves[0]["annotations"] = json!({ "org.opencontainers.image.title": "note \u{e9}.txt" });
    let note = artifact(layout, "application/vnd.example.note", &leaves, None)?;
    layout.publish("corpus/artifact/note", Some("1"), &note, Kind("artifact"), None);

    let pinned = artifact(layout, "application/vnd.example.pinned", &leaves[..1], None)?;
    layout.publish("corpus/artifact/pinned", None, &pinned, Kind("pinned"), None);

    // The children of the inner index must also be in this repository.
    let nested = index(layout, INDEX, std::slice::from_ref(multi))?;
    for child in children.iter().copied().chain([multi]) {
        layout.expect("corpus/nested", None, child, Kind("child"), None);
    }
    layout.publish("corpus/nested", Some("1"), &nested, Kind("nested"), None);
    Ok(())
}

/// Builds an OCI image of some layers.
pub fn image(layout: &mut Layout, arch: &str, layers: &[Layer], name: &str) -> Result<Value, Failed> {
    let config = config(layout, arch, "linux", layers, name)?;
    let leaves: Vec<Value> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    manifest_of(layout, MANIFEST, &config, &leaves)
}

fn config(layout: &mut Layout, arch: &str, os: &str, layers: &[Layer], name: &str) -> Result<Value, Failed> {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let history: Vec<Value> = layers.iter().map(|_| json!({ "created": CREATED, "created_by": name })).collect();
    let config = json!({
        "created": CREATED, "architecture": arch, "os": os, "config": { "Cmd": ["/bin/sh"], "Labels": { "name": name } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": history,
    });
    layout.document(CONFIG, &config)
}

fn manifest_of(layout: &mut Layout, media_type: &str, config: &Value, leaves: &[Value]) -> Result<Value, Failed> {
    let document = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": leaves });
    layout.document(media_type, &document)
}

fn artifact(layout: &mut Layout, kind: &str, leaves: &[Value], subject: Option<&Value>) -> Result<Value, Failed> {
    let config = layout.bytes(EMPTY, b"{}")?;
    let mut document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": leaves,
        "annotations": { "org.opencontainers.image.created": CREATED },
    });
    if let Some(subject) = subject {
        document["subject"] = subject.clone();
    }
    layout.document(MANIFEST, &document)
}

fn index(layout: &mut Layout, media_type: &str, entries: &[Value]) -> Result<Value, Failed> {
    layout.document(media_type, &json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }))
}

/// Returns an index entry with its platform.
fn entry(manifest: &Value, arch: &str) -> Value {
    let mut entry = manifest.clone();
    entry["platform"] = json!({ "architecture": arch, "os": "linux" });
    if arch == "arm64" {
        entry["platform"]["variant"] = "v8".into();
    }
    entry
}
