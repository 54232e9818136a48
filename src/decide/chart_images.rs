//! The images that a chart in a registry lists itself: Artifact Hub's annotation in its Chart.yaml,
//! and the values of it and of its sub-charts.

use std::io::Read as _;

use crate::base::fault::{Class, Fault};
use crate::content::checked::Checked;
use crate::content::{Error, Source};
use crate::decide::lists::{self, List};
use crate::oci::media_type::Kind;
use crate::oci::{Descriptor, Reference};

/// Config type of charts.
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Layer type of charts: gzip over tar.
const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Maximum size of a chart, in bytes.
const MAX_CHART: u64 = 64 << 20;
/// Maximum size of an unpacked chart, in bytes.
const MAX_UNPACKED: u64 = 512 << 20;
/// Maximum size of one of its files that is read, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// Returns what the chart that `reference` names lists, by file; `None` if it is no chart.
///
/// # Errors
/// Class source for a chart that cannot be read.
pub fn of(source: &dyn Source, reference: &Reference) -> Result<Option<Vec<(String, List)>>, Fault> {
    let at = |error: Error| {
        let fault = error.into_fault(Class::Source);
        Fault { what: format!("chart {reference}: {}", fault.what), ..fault }
    };
    let descriptor = source.resolve(reference).map_err(at)?;
    let document = source.document(&reference.repository, &descriptor).map_err(at)?;
    let is_chart = document.kind() == Kind::Manifest && document.config().is_some_and(|one| one.media_type == CONFIG);
    let Some(content) = document.layers().iter().find(|layer| is_chart && layer.media_type == CONTENT) else {
        return Ok(None);
    };
    read(source, reference, content).map(Some)
}

fn read(source: &dyn Source, reference: &Reference, content: &Descriptor) -> Result<Vec<(String, List)>, Fault> {
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::new(Class::Source, format!("chart {reference}: {what}"))
            .help("leave out --with-images, and list its images")
    };
    if content.size > MAX_CHART {
        return Err(wrong(&format_args!("expected at most {MAX_CHART} bytes, found {}", content.size)));
    }
    // The whole blob is checked before a byte of it is parsed.
    let mut packed = Vec::new();
    let blob = source.blob(&reference.repository, content).map_err(|error| wrong(&error))?;
    Checked::new(blob, content.clone()).read_to_end(&mut packed).map_err(|error| wrong(&error))?;
    let unpacked = flate2::read::GzDecoder::new(packed.as_slice()).take(MAX_UNPACKED);
    let mut archive = tar::Archive::new(unpacked);
    let mut found = Vec::new();
    for entry in archive.entries().map_err(|error| wrong(&error))? {
        let entry = entry.map_err(|error| wrong(&error))?;
        let path = entry.path().map_err(|error| wrong(&error))?.to_string_lossy().into_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        if name != "Chart.yaml" && name != "values.yaml" {
            continue;
        }
        let is_chart = name == "Chart.yaml";
        let mut bytes = Vec::new();
        entry.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
        found.push((path, lists::in_chart(&bytes, is_chart)));
    }
    Ok(found)
}
