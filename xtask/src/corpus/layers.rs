//! Layers by different compressors. Each writes different bytes, and all of them must be preserved.

use super::layout::{self, Layout};
use crate::install::Tools;
use crate::shell::{self, Failed};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// The compressor of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    /// GNU gzip with a level.
    Gzip(&'static str),
    /// pigz, which joins blocks that were compressed in parallel.
    Pigz,
    /// The zstd program.
    Zstd,
    /// None: an uncompressed tar.
    Bare,
}

/// A layer in a layout: its descriptor, and the digest of its tar.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Descriptor in a manifest.
    pub descriptor: Value,
    /// Digest in a config's `rootfs`.
    pub diff_id: String,
}

/// Compresses a tar file and adds it. Keeps the tar file.
pub fn add(layout: &mut Layout, tools: &Tools, tar: &Path, writer: Writer) -> Result<Layer, Failed> {
    let diff_id = format!("sha256:{}", layout::sum(tar)?.0);
    let packed = tar.with_extension("packed");
    let (program, args, suffix): (&Path, Vec<&str>, &str) = match writer {
        Writer::Gzip(level) => (Path::new("gzip"), vec!["-n", level, "-c"], "+gzip"),
        Writer::Pigz => (tools.get("pigz")?, vec!["-n", "-c"], "+gzip"),
        Writer::Zstd => (tools.get("zstd")?, vec!["-q", "-10", "-c"], "+zstd"),
        Writer::Bare => (Path::new("cat"), vec![], ""),
    };
    let mut command = shell::command(program);
    command.args(args).stdin(std::fs::File::open(tar)?).stdout(Stdio::from(std::fs::File::create(&packed)?));
    shell::run(&mut command)?;
    let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    Ok(Layer { descriptor: layout.file(&media_type, &packed)?, diff_id })
}
