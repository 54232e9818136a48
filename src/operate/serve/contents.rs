//! Reads what the page says of artifacts: kinds, platforms, sizes, what refers to them.
//!
//! Reads documents only, and at most [`DOCUMENTS`] of them; of artifacts beyond these, only names
//! are shown.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::content::Source;
use crate::oci::media_type::document_kind;
use crate::oci::{Artifact, Descriptor, Digest, Document, Platform};
use crate::operate::report_data::kind_of;
use crate::report::{Item, Kind, Repository};

/// Maximum number of documents that are read.
const DOCUMENTS: usize = 5_000;
/// Maximum number of repositories that are listed.
const REPOSITORIES: usize = 2_000;
/// Maximum number of referrers of one artifact.
const ATTACHED: usize = 100;

/// Returns the repositories with their artifacts, and how many repositories were left out. `listed`
/// has the name, the number of the place and the artifact of each.
pub(super) fn repositories(
    sources: &[Arc<dyn Source>],
    listed: &[(String, usize, Artifact)],
) -> (Vec<Repository>, usize) {
    let mut names: BTreeMap<&str, Vec<&(String, usize, Artifact)>> = BTreeMap::new();
    for one in listed {
        names.entry(&one.0).or_default().push(one);
    }
    let more = names.len().saturating_sub(REPOSITORIES);
    let mut reader = Reader { left: DOCUMENTS };
    let mut found = Vec::new();
    for (name, artifacts) in names.into_iter().take(REPOSITORIES) {
        let mut items: Vec<Item> = Vec::new();
        for (_, place, artifact) in artifacts {
            // Shown with the artifact that it refers to.
            if artifact.subject.is_some() && artifact.tags.is_empty() {
                continue;
            }
            let digest = artifact.digest.to_string();
            let tags = artifact.tags.iter().map(ToString::to_string);
            // The same artifact in another place.
            if let Some(same) = items.iter_mut().find(|item| item.digest == digest) {
                same.tags = same.tags.drain(..).chain(tags).collect::<BTreeSet<_>>().into_iter().collect();
            } else if let Some(source) = sources.get(*place) {
                items.push(Item { tags: tags.collect(), ..reader.item(&**source, artifact) });
            }
        }
        items.sort_by(|one, other| {
            one.tags.is_empty().cmp(&other.tags.is_empty()).then_with(|| one.tags.cmp(&other.tags))
        });
        found.push(Repository { name: name.to_owned(), items });
    }
    (found, more)
}

struct Reader {
    left: usize,
}

/// Facts from the documents of an artifact.
#[derive(Default)]
struct Reach {
    platforms: BTreeSet<String>,
    configs: Vec<String>,
    sizes: BTreeMap<Digest, u64>,
    is_complete: bool,
}

impl Reader {
    fn document(&mut self, source: &dyn Source, artifact: &Artifact, descriptor: &Descriptor) -> Option<Document> {
        // A page is not worth requests to another machine.
        source.holdings().filter(|holdings| holdings.is_quick())?;
        self.left = self.left.checked_sub(1)?;
        // One that is missing or damaged is not described; whoever pulls it gets the error.
        source.document(&artifact.repository, descriptor).ok()
    }

    fn item(&mut self, source: &dyn Source, artifact: &Artifact) -> Item {
        let mut item = Item { digest: artifact.digest.to_string(), ..Item::default() };
        let Some(document) = self.document(source, artifact, &artifact.descriptor()) else {
            item.stated.clone_from(&artifact.artifact_type);
            return item;
        };
        let reach = self.reach(source, artifact, &document);
        let own = document.shown_artifact_type().or(reach.configs.first().map(String::as_str));
        item.kind = if reach.platforms.is_empty() { kind_of(own.unwrap_or_default()) } else { Kind::Image };
        item.stated = own.map(ToOwned::to_owned);
        item.platforms = reach.platforms.into_iter().collect();
        item.bytes = reach.is_complete.then(|| reach.sizes.values().fold(0_u64, |sum, size| sum.saturating_add(*size)));
        let referrers = source.referrers().map(|lists| lists.referrers(&artifact.repository, artifact.digest));
        for one in referrers.and_then(Result::ok).unwrap_or_default().iter().take(ATTACHED) {
            let read = self.document(source, artifact, one);
            let kind = read.as_ref().and_then(Document::shown_artifact_type).or(one.artifact_type.as_deref());
            item.attached.push(Item {
                digest: one.digest.to_string(),
                kind: kind_of(kind.unwrap_or_default()),
                stated: kind.map(ToOwned::to_owned),
                ..Item::default()
            });
        }
        item
    }

    fn reach(&mut self, source: &dyn Source, artifact: &Artifact, top: &Document) -> Reach {
        let mut reach = Reach { is_complete: true, ..Reach::default() };
        reach.sizes.insert(top.digest(), top.size());
        let (mut open, mut met) = (vec![top.clone()], HashSet::from([top.digest()]));
        while let Some(document) = open.pop() {
            reach.configs.extend(document.config().map(|config| config.media_type.clone()));
            for leaf in document.config().into_iter().chain(document.layers()) {
                reach.sizes.insert(leaf.digest, leaf.size);
            }
            for child in document.manifests() {
                let is_new = met.insert(child.digest);
                if document_kind(&child.media_type).is_none() {
                    reach.sizes.insert(child.digest, child.size);
                    continue;
                }
                if !is_new {
                    continue;
                }
                let Some(below) = self.document(source, artifact, child) else {
                    // Left out by a platform filter, or more than is read for a page.
                    reach.is_complete &= self.left > 0;
                    continue;
                };
                if let Some(platform) = child.platform.as_ref().filter(|platform| !platform.is_unknown()) {
                    reach.platforms.insert(Platform::to_string(platform));
                }
                reach.sizes.insert(child.digest, child.size);
                open.push(below);
            }
        }
        reach
    }
}
