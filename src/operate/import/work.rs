//! The plan: per artifact its repository, its documents with their children first, and what each
//! document holds. Made from documents alone, before the destination is asked anything.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::fault::Fault;
use crate::closure::{WalkError, walk};
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Repository, Tag};

use super::Context;

/// The lock of a mutex; a thread that panicked ends the program anyway.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a document holds directly; descriptors without their annotations.
pub(super) struct Shape {
    pub descriptor: Descriptor,
    pub leaves: Vec<Descriptor>,
    pub children: Vec<Digest>,
    /// It refers to another document.
    pub has_subject: bool,
    /// Some child was left out by a platform filter.
    pub is_sparse: bool,
    /// Longest way down to a document without children.
    pub height: usize,
}

/// One artifact's part of the run.
pub(super) struct Job<'a> {
    pub artifact: &'a Artifact,
    /// The destination's repository.
    pub repository: Repository,
    /// Its documents that are carried, children before parents; the artifact's own is the last.
    pub documents: Vec<Digest>,
    /// Documents of it that were not to be had at export.
    pub missing: Vec<Digest>,
    pub needs: Mutex<Needs>,
    /// Why it is not imported.
    pub failed: Mutex<Option<Fault>>,
}

/// What the destination lacks of a job; known after the preflight.
#[derive(Default)]
pub(super) struct Needs {
    pub documents: Vec<Digest>,
    pub leaves: Vec<Descriptor>,
    /// Base blobs that must be there.
    pub bases: Vec<Descriptor>,
    /// How many of them were taken over for it, or in a dry run would be.
    pub mounted: u64,
    pub tags: Vec<Tag>,
    pub kept: Vec<Tag>,
    /// The destination was asked.
    pub is_known: bool,
    /// All was done for it, its tags included.
    pub is_tagged: bool,
}

pub(super) struct Work<'a> {
    pub jobs: Vec<Job<'a>>,
    pub shapes: HashMap<Digest, Shape>,
    pub absent: HashMap<Digest, &'a Absent>,
}

impl Job<'_> {
    pub(super) fn has_failed(&self) -> bool {
        locked(&self.failed).is_some()
    }

    /// Records a fault; the first one stays.
    pub(super) fn fail(&self, fault: Fault) {
        locked(&self.failed).get_or_insert(fault);
    }

    /// Adds faults to what it has.
    pub(super) fn fail_also(&self, faults: Vec<Fault>) {
        let mut failed = locked(&self.failed);
        let all = failed.take().into_iter().flat_map(flat).chain(faults).collect();
        *failed = Fault::from_list(all);
    }
}

/// A fault and those behind it, side by side.
pub(super) fn flat(mut fault: Fault) -> Vec<Fault> {
    let others = std::mem::take(&mut fault.others);
    std::iter::once(fault).chain(others).collect()
}

fn thin(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&*descriptor.media_type, descriptor.digest, descriptor.size)
}

fn shape(document: &Document, absent: &HashMap<Digest, &Absent>) -> Shape {
    let mut shape = Shape {
        descriptor: document.descriptor(),
        leaves: document.config().into_iter().chain(document.layers()).map(thin).collect(),
        children: Vec::new(),
        has_subject: document.subject().is_some(),
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

/// Walks every artifact once, as many at a time as there are jobs.
pub(super) fn make<'a>(context: &Context<'a>, repositories: Vec<Repository>) -> Result<Work<'a>, Fault> {
    let absent: HashMap<Digest, &Absent> =
        context.request.absent.iter().map(|absent| (absent.digest, absent)).collect();
    let shapes = Mutex::new(HashMap::new());
    // One that lies in many repositories is walked once.
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
            locked(&shapes).entry(descriptor.digest).or_insert_with(|| shape(&document, &absent));
            Ok(Some(document))
        };
        match walk([artifact], fetch) {
            Ok(_) => Ok(()),
            Err(WalkError::Fetch(fault)) => Err(fault),
            Err(error) => Err(context.documents.misshapen(error.to_string())),
        }
    })?;
    let mut shapes: HashMap<Digest, Shape> = shapes.into_inner().unwrap_or_else(PoisonError::into_inner);
    one_size_each(context, &shapes)?;
    let jobs = context.request.artifacts.iter().zip(repositories).map(|(artifact, repository)| {
        context.workers.check()?;
        let mut order = Order { shapes: &mut shapes, seen: HashSet::new(), documents: Vec::new(), missing: Vec::new() };
        order.add(artifact.digest);
        let (documents, missing) = (order.documents, order.missing);
        let (needs, failed) = (Mutex::default(), Mutex::default());
        Ok(Job { artifact, repository, documents, missing, needs, failed })
    });
    let jobs = jobs.collect::<Result<_, Fault>>()?;
    Ok(Work { jobs, shapes, absent })
}

/// A digest has one size in the whole run; the walks see only one artifact each.
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
    /// Adds a document behind its children; gives its height. The walk has bounded the depth.
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
