//! Prepares an import: each artifact's repository and documents, and the content of each document.
//! Reads only documents from the source, and does not access the destination.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use super::context::Context;
use super::work::{Job, LeftOut, Shape, There, Work};
use crate::base::fault::Fault;
use crate::base::lock::{into_inner, lock};
use crate::closure::{WalkError, walk};
use crate::decide::left_out::left_out;
use crate::decide::originals;
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Repository};

fn thin(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&*descriptor.media_type, descriptor.digest, descriptor.size)
}

fn shape(document: &Document, absent: &HashMap<Digest, &Absent>) -> Shape {
    let mut shape = Shape {
        descriptor: document.descriptor(),
        leaves: document.config().into_iter().chain(document.layers()).map(thin).collect(),
        children: Vec::new(),
        subject: document.subject().map(|subject| subject.digest),
        shown_type: document.shown_artifact_type().map(ToOwned::to_owned),
        is_sparse: false,
        height: 0,
    };
    for child in document.manifests() {
        if document_kind(&child.media_type).is_none() {
            shape.leaves.push(thin(child));
        } else if absent.get(&child.digest).is_none_or(|absent| absent.reason != Reason::Platform) {
            shape.children.push(child.digest);
        } else {
            shape.is_sparse = true;
        }
    }
    shape
}

/// Walks every artifact once, in parallel.
pub(super) fn work<'a>(context: &Context<'a>, repositories: Vec<Repository>) -> Result<Work<'a>, Fault> {
    let absent: HashMap<Digest, &Absent> =
        context.request.absent.iter().map(|absent| (absent.digest, absent)).collect();
    let shapes = Mutex::new(HashMap::new());
    // An artifact in several repositories is walked once.
    let mut seen = HashSet::new();
    let is_new = |artifact: &&'a Artifact| seen.insert((artifact.digest, &artifact.media_type, artifact.size));
    let walked: Vec<&Artifact> = context.request.artifacts.iter().filter(is_new).collect();
    context.workers.each(&walked, |&artifact| {
        let fetch = |repository: &Repository, descriptor: &Descriptor| {
            context.workers.check()?;
            let is_left_out = absent
                .get(&descriptor.digest)
                .is_some_and(|absent| matches!(absent.reason, Reason::Platform | Reason::Missing));
            if is_left_out {
                return Ok(None);
            }
            let document = context.documents.get(repository, descriptor)?;
            lock(&shapes).entry(descriptor.digest).or_insert_with(|| shape(&document, &absent));
            Ok(Some(document))
        };
        match walk([artifact], fetch) {
            Ok(_) => Ok(()),
            Err(WalkError::Fetch(fault)) => Err(fault),
            Err(error) => Err(context.documents.misshapen(error.to_string())),
        }
    })?;
    let mut shapes: HashMap<Digest, Shape> = into_inner(shapes);
    one_size_each(context, &shapes)?;
    let shown_type = |artifact: &Artifact| shapes.get(&artifact.digest).and_then(|shape| shape.shown_type.clone());
    let out = left_out(context.request.artifacts, context.request.referrers, shown_type);
    let originals = originals::homes(context.request.artifacts);
    let all = context.request.artifacts.iter().zip(repositories).enumerate().zip(out);
    let (gone, all): (Vec<_>, Vec<_>) = all.partition(|(_, out)| *out);
    let left_out = gone
        .into_iter()
        .map(|((number, (artifact, repository)), _)| LeftOut { artifact, number, repository })
        .collect();
    let places: HashMap<usize, usize> =
        all.iter().enumerate().map(|(place, ((number, _), _))| (*number, place)).collect();
    let jobs = all.into_iter().map(|((number, (artifact, repository)), _)| {
        context.workers.check()?;
        let mut order = Order { shapes: &mut shapes, seen: HashSet::new(), documents: Vec::new(), missing: Vec::new() };
        order.add(artifact.digest);
        let (documents, missing) = (order.documents, order.missing);
        let original = originals[number].and_then(|original| places.get(&original).copied());
        let (needs, failed) = (Mutex::default(), Mutex::default());
        let (unread, left) = (Mutex::default(), Mutex::default());
        let doubt = Mutex::default();
        Ok(Job { artifact, number, repository, documents, missing, needs, failed, original, left, unread, doubt })
    });
    let jobs = jobs.collect::<Result<_, Fault>>()?;
    Ok(Work { jobs, left_out, shapes, absent, there: There::default() })
}

/// Checks that each digest has one size in the whole run; the walks see only one artifact each.
fn one_size_each(context: &Context, shapes: &HashMap<Digest, Shape>) -> Result<(), Fault> {
    let mut sizes: HashMap<Digest, u64> = HashMap::new();
    let roots = context.request.artifacts.iter().map(|artifact| (artifact.digest, artifact.size));
    let below = shapes.values().flat_map(|shape| shape.leaves.iter().chain([&shape.descriptor]));
    for (digest, size) in roots.chain(below.map(|descriptor| (descriptor.digest, descriptor.size))) {
        let first = *sizes.entry(digest).or_insert(size);
        if first != size {
            return Err(context.documents.misshapen(format!("blob {digest}: two sizes, {first} and {size} bytes")));
        }
    }
    Ok(())
}

struct Order<'s> {
    shapes: &'s mut HashMap<Digest, Shape>,
    seen: HashSet<Digest>,
    documents: Vec<Digest>,
    missing: Vec<Digest>,
}

impl Order<'_> {
    /// Adds a document after its children; returns its height. The walk has already limited the
    /// depth.
    fn add(&mut self, digest: Digest) -> usize {
        if !self.seen.insert(digest) {
            return self.shapes.get(&digest).map_or(0, |shape| shape.height);
        }
        let Some(shape) = self.shapes.get(&digest) else {
            self.missing.push(digest);
            return 0;
        };
        let children = shape.children.clone();
        let height = children.into_iter().map(|child| self.add(child) + 1).max().unwrap_or(0);
        if let Some(shape) = self.shapes.get_mut(&digest) {
            shape.height = height;
        }
        self.documents.push(digest);
        height
    }
}
