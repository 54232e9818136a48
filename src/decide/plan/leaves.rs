//! The leaves of the closure: the origin of each, whether it exists, and why some are left out.
//!
//! Queries with HEAD only; no content is read here. A non-distributable layer is left out only if its
//! descriptor says where else it can be had (`urls`).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::bases::Homes;
use super::gather::Gathered;
use super::library::{Library, fault};
use crate::base::fault::{Class, Fault, differs, escape, expects};
use crate::closure::{Closure, Node, walk};
use crate::flow::{Event, Flow, each};
use crate::oci::media_type::{document_kind, is_foreign};
use crate::oci::{Artifact, Digest, Document, Reason, Repository};

/// Maximum number of artifacts that are named for a missing blob.
const NAMED: usize = 3;

/// Result for all leaves.
#[derive(Default)]
pub struct Leaves {
    /// Repository of each carried leaf.
    pub origins: HashMap<Digest, Repository>,
    /// Reason for each leaf that is not carried.
    pub absent: HashMap<Digest, Reason>,
    /// Failures.
    pub faults: Vec<Fault>,
}

/// Looks for every leaf in the repositories of the documents that use it. Delivered leaves are not
/// queried.
///
/// # Errors
/// [`Class::Cancelled`].
pub fn look(
    flow: &Flow,
    library: &Library<'_>,
    artifacts: &[Artifact],
    gathered: &Gathered,
    closure: &Closure,
    foreign: bool,
    delivered: &Homes,
) -> Result<Leaves, Fault> {
    let mut places: HashMap<Digest, BTreeSet<&Repository>> = HashMap::new();
    let mut ordinary: HashSet<Digest> = HashSet::new();
    let mut listed: HashMap<Digest, (Digest, &str)> = HashMap::new();
    let documents: Vec<(&Repository, Document)> =
        gathered.carried.iter().filter_map(|(origin, digest)| Some((origin, library.held(digest)?))).collect();
    for (origin, document) in &documents {
        flow.check()?;
        let below = document.manifests().iter().filter(|child| document_kind(&child.media_type).is_none());
        for child in below.clone() {
            listed.entry(child.digest).or_insert((document.digest(), &child.media_type));
        }
        for leaf in document.config().into_iter().chain(document.layers()).chain(below) {
            places.entry(leaf.digest).or_default().insert(origin);
            if !is_foreign(&leaf.media_type) || leaf.urls.iter().flatten().next().is_none() {
                ordinary.insert(leaf.digest);
            }
        }
    }
    let (mut leaves, mut lost) = (Leaves::default(), Vec::new());
    let mut wanted: Vec<&Node> = Vec::new();
    let mut stay = (0_u64, 0_u64);
    for node in closure.leaves() {
        if foreign || ordinary.contains(&node.descriptor.digest) {
            if delivered.contains_key(&node.descriptor.digest) {
                leaves.absent.insert(node.descriptor.digest, Reason::Base);
            } else {
                wanted.push(node);
            }
        } else {
            leaves.absent.insert(node.descriptor.digest, Reason::Foreign);
            stay = (stay.0 + 1, stay.1.saturating_add(node.descriptor.size));
        }
    }
    if stay.0 > 0 {
        flow.warn(format!(
            "{} non-distributable layers of {} bytes are left out; carry them with `--foreign`",
            stay.0, stay.1
        ));
    }
    flow.event(Event::Stage { name: "looking for blobs", bytes: 0, items: wanted.len() as u64 });
    let answers = each(flow, &wanted, |node| {
        let digest = &node.descriptor.digest;
        let found = find(library, node, places.get(digest), listed.get(digest));
        flow.event(Event::Item(node.descriptor.digest.to_string()));
        found
    })?;
    for (node, answer) in wanted.into_iter().zip(answers) {
        match answer {
            Ok(origin) => {
                leaves.origins.insert(node.descriptor.digest, origin);
            }
            Err(fault) => {
                leaves.absent.insert(node.descriptor.digest, Reason::Missing);
                lost.push((node.descriptor.digest, fault));
            }
        }
    }
    leaves.faults = named(library, artifacts, lost);
    Ok(leaves)
}

/// Adds to the fault of each missing leaf which artifacts need it.
fn named(library: &Library<'_>, artifacts: &[Artifact], lost: Vec<(Digest, Fault)>) -> Vec<Fault> {
    let mut users: HashMap<Digest, Vec<String>> = lost.iter().map(|(digest, _)| (*digest, Vec::new())).collect();
    for artifact in artifacts.iter().take_while(|_| !lost.is_empty()) {
        let walked = walk([artifact], |_, below| Ok::<_, Fault>(library.held(&below.digest)));
        let Ok(closure) = walked else { continue };
        let name = match artifact.tags.first() {
            Some(tag) => format!("{}:{tag}", artifact.repository),
            None => format!("{}@{}", artifact.repository, artifact.digest),
        };
        for leaf in closure.leaves() {
            users.entry(leaf.descriptor.digest).and_modify(|users| users.push(name.clone()));
        }
    }
    let mut told = |(digest, fault): (Digest, Fault)| {
        let users = users.remove(&digest).unwrap_or_default();
        let more = users.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let users = users[..users.len().min(NAMED)].join(", ");
        if users.is_empty() {
            return fault;
        }
        Fault { what: format!("{}; needed by {users}{more}", fault.what), ..fault }
    };
    lost.into_iter().map(&mut told).collect()
}

/// Returns the first of `places` that has the leaf. Otherwise returns the first failure, or a fault
/// that none has it. `listed` is the index that lists it, and under which type.
fn find(
    library: &Library<'_>,
    node: &Node,
    places: Option<&BTreeSet<&Repository>>,
    listed: Option<&(Digest, &str)>,
) -> Result<Repository, Fault> {
    let subject = format!("blob {}", node.descriptor.digest);
    let mut failed = None;
    for &place in places.into_iter().flatten() {
        match library.source().holds(place, &node.descriptor) {
            Ok(true) => return Ok(place.clone()),
            Ok(false) => {}
            Err(error) => {
                failed.get_or_insert_with(|| fault(&format!("{subject} in {place}"), error));
            }
        }
    }
    Err(failed.unwrap_or_else(|| {
        let named: Vec<String> = places.into_iter().flatten().map(ToString::to_string).collect();
        let named = named.join(", ");
        if let Some((index, media_type)) = listed {
            let (digest, media_type) = (node.descriptor.digest, escape(media_type));
            let text = expects(
                format_args!("manifest {digest}: listed by index {index} with media type {media_type:?}"),
                format_args!("a manifest of a current type, or a blob in {named}"),
            );
            return Fault::new(Class::Source, text)
                .help("select what can be carried with `--platform`, or leave it out: `export --allow-partial`");
        }
        Fault::new(Class::Source, differs(subject, format_args!("in {named}"), "none"))
            .help("push the artifact there again, or leave it out: `export --allow-partial`")
    }))
}
