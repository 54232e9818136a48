//! Files and directories as artifacts (`file:`), as a source.
//!
//! A file becomes one layer with its name, as `oras push` makes it, so that `oras pull` writes it
//! again. A directory becomes a packed tar archive of which the bytes depend only on names, content,
//! links and whether a file is executable. A packed Helm chart becomes what `helm push` makes of it.
//! Everything is read twice, once for its digest and once to send it; what changes in between is
//! refused. Nothing is written.

mod chart;
mod content;
mod hash;
mod manifest;
mod stamp;
mod tar_stream;
mod tree;

use std::path::Path;

use self::chart::Chart;
use self::content::FileContent;
use self::hash::hash;
use self::manifest::Layer;
use self::stamp::Stamped;
use self::tree::Tree;
use crate::base::fault::{Class, Fault, escape};
use crate::content::Error;
use crate::content::made::{Made, MadeManifest, local_repository};
use crate::flow::Flow;
use crate::oci::{Document, Reference, Repository, Tag};

/// A file or directory as the one artifact of a source.
pub type FileArtifact = Made<FileContent>;

/// Opens `path`, a file or a directory, and computes its digest. Follows a link that `path` itself
/// is.
///
/// # Errors
/// Class source if it does not exist, changes meanwhile, or contains what an artifact cannot
/// represent; class format for a chart that is malformed; class io; class cancelled.
pub fn open(flow: &Flow, path: &Path) -> Result<FileArtifact, Fault> {
    let subject = format!("file {}", path.display());
    let at_source = |error: Error| error.into_fault(Class::Source);
    let io = |error: std::io::Error| {
        let class = if error.kind() == std::io::ErrorKind::NotFound { Class::Source } else { Class::Io };
        Fault::new(class, format!("{subject}: {error}")).help("name a file or a directory that can be read")
    };
    let kind = std::fs::metadata(path).map_err(io)?;
    let name = name(path, &subject)?;
    let fallback = || Tag::new("latest").ok();
    let mut content = FileContent::default();
    let (document, reference) = if kind.is_dir() {
        let tree = Tree::walk(flow, path, &name)?;
        let (packed, plain) = tree.digests(flow).map_err(at_source)?;
        let document = manifest::of_file(Layer::tree(&name, &packed, plain), &mut content);
        content.add_tree(packed.digest, packed.size, tree);
        (document, (local_repository(&name), fallback()))
    } else if kind.is_file() {
        let file = Stamped::new(path).map_err(at_source)?;
        match Chart::read(path, &name, &subject)? {
            Some(chart) => {
                let document = chart.manifest(flow, file, path, &mut content).map_err(at_source)?;
                (document, (local_repository(chart.name()), Some(chart.tag(&subject)?)))
            }
            None => {
                let layer = hash(flow, &file).map_err(at_source)?;
                let document = manifest::of_file(Layer::file(&name, &layer), &mut content);
                content.add_file(layer.digest, file);
                (document, (local_repository(&name), fallback()))
            }
        }
    } else {
        let what = format!("{subject}: expected a file or a directory, found something else");
        return Err(Fault::new(Class::Source, what).help("name a file or a directory"));
    };
    made(subject, document, reference, content)
}

fn made(
    subject: String,
    document: Result<Document, String>,
    (repository, tag): (Option<Repository>, Option<Tag>),
    content: FileContent,
) -> Result<FileArtifact, Fault> {
    let document = document.map_err(|error| Fault::new(Class::Bug, format!("{subject}: {error}")))?;
    let repository = repository.unwrap_or_else(fallback);
    let names = vec![Reference { repository: repository.clone(), tag, digest: None }];
    Made::new(subject, repository, vec![MadeManifest { document, names }], content)
        .map_err(|twice| Fault::new(Class::Bug, format!("{twice}: one artifact with two manifests")))
}

fn fallback() -> Repository {
    #[allow(clippy::expect_used, reason = "a constant that matches the grammar")]
    Repository::new("localhost", "file").expect("a good name")
}

/// Returns the last name of the path, which the artifact states as its title.
fn name(path: &Path, subject: &str) -> Result<String, Fault> {
    // For `.` and `..`.
    let named = if path.file_name().is_some() { path.to_owned() } else { path.canonicalize().unwrap_or_default() };
    let name = named.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned);
    name.filter(|name| *name == escape(name)).ok_or_else(|| {
        let what = format!("{}: expected a name in UTF-8 without control characters", escape(subject));
        Fault::new(Class::Source, what).help("rename it, or name a directory below the top")
    })
}

#[cfg(test)]
mod tests;
