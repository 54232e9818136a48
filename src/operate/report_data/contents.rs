//! The content as a tree: repositories, artifacts, and below each artifact its referrers.
//!
//! Built from the manifest and, if the documents were read, from their catalogue. Otherwise kinds
//! are guessed from the types that the manifest states.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::images::Configs;
use crate::bundle::Manifest;
use crate::bundle::open::catalog::{Catalogue, Entry};
use crate::oci::image::is_image_config as is_image;
use crate::oci::{Artifact, Digest, Platform, Reason, cosign};
use crate::operate::diff::{Change, Difference, Name};
use crate::report::{Brought, Contents, Image, Item, Kind, Novelty, Repository};

/// Config media type of Helm charts.
const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Maximum number of steps for sums over artifacts: a bundle can be crafted to need far too many.
const STEPS: usize = 50_000_000;

/// Artifacts with missing content, by reason.
pub type Lacks = BTreeMap<Reason, Vec<String>>;

/// Returns the tree and the artifacts with missing content. `news` marks what is new or changed;
/// `configs` are those of the images.
pub fn tree(
    manifest: &Manifest,
    catalogue: Option<&Catalogue>,
    news: Option<&Difference>,
    configs: &Configs<'_>,
) -> (Contents, Lacks) {
    let mut grower = Grower {
        catalogue,
        sizes: manifest.blobs.iter().map(|blob| (blob.digest, blob.size)).collect(),
        absent: manifest.absent.iter().map(|absent| (absent.digest, absent.reason)).collect(),
        news: news.map(|found| found.changes.iter().filter_map(|(name, change)| novelty(name, change)).collect()),
        lacks: Lacks::new(),
        configs,
        carried: HashSet::new(),
        steps: Cell::new(STEPS),
    };
    let repositories = manifest.artifacts.chunk_by(|a, b| a.repository == b.repository);
    let repositories = repositories.map(|artifacts| grower.repository(artifacts)).collect();
    (Contents { read: catalogue.is_some(), repositories }, grower.lacks)
}

fn novelty(name: &Name, change: &Change) -> Option<((String, Digest), Novelty)> {
    let (digest, novelty) = match change {
        Change::New(digest) => (**digest, Novelty::New),
        Change::Changed { new, .. } => (**new, Novelty::Changed),
        Change::Gone(_) => return None,
    };
    Some(((name.repository.to_string(), digest), novelty))
}

struct Grower<'a> {
    catalogue: Option<&'a Catalogue>,
    sizes: HashMap<Digest, u64>,
    absent: HashMap<Digest, Reason>,
    news: Option<HashMap<(String, Digest), Novelty>>,
    lacks: Lacks,
    configs: &'a Configs<'a>,
    /// Artifacts of the current repository.
    carried: HashSet<Digest>,
    steps: Cell<usize>,
}

/// Content that an artifact reaches.
#[derive(Default)]
struct Reach {
    bytes: u64,
    lacks: BTreeMap<Reason, u64>,
}

/// Whether a document comes with signatures, SBOMs, VEX, in this order.
type With = [bool; 3];

const fn with(kind: Kind) -> With {
    [matches!(kind, Kind::Signature), matches!(kind, Kind::Sbom), matches!(kind, Kind::Vex)]
}

impl<'a> Grower<'a> {
    fn entry(&self, digest: &Digest) -> Option<&'a Entry> {
        self.catalogue.and_then(|catalogue| catalogue.get(digest))
    }

    /// Uses up one step. Returns whether one was left.
    fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// Returns the artifacts of one repository, with referrers below their subjects.
    fn repository(&mut self, artifacts: &[Artifact]) -> Repository {
        self.carried = artifacts.iter().map(|artifact| artifact.digest).collect();
        let documents: Vec<Vec<Digest>> = artifacts.iter().map(|artifact| self.documents(artifact.digest)).collect();
        let homes = homes(artifacts, &documents);
        let mut items: Vec<Option<Item>> = Vec::with_capacity(artifacts.len());
        let mut brought: HashMap<usize, HashMap<Digest, With>> = HashMap::new();
        for (index, artifact) in artifacts.iter().enumerate() {
            let item = self.item(artifact, &documents[index]);
            if let Some((home, subject)) = homes[index] {
                let flags = brought.entry(home).or_default().entry(subject).or_default();
                with(item.kind).iter().zip(flags).for_each(|(own, flag)| *flag |= own);
            }
            items.push(Some(item));
        }
        for (index, home) in homes.iter().enumerate() {
            if let Some((home, _)) = home
                && let Some(item) = items[index].take()
                && let Some(at) = &mut items[*home]
            {
                at.attached.push(item);
            }
        }
        for (index, item) in items.iter_mut().enumerate() {
            if let Some(item) = item.as_mut().filter(|item| matches!(item.kind, Kind::Image | Kind::Chart)) {
                let attached = brought.remove(&index).unwrap_or_default();
                let [signature, sbom, vex] = self.brought(&documents[index], &attached);
                // Documents that were not read may contain more.
                let known = |brought| Some(brought).filter(|one| self.catalogue.is_some() || *one != Brought::No);
                (item.signature, item.sbom, item.vex) = (known(signature), known(sbom), known(vex));
            }
        }
        let name = artifacts.first().map(|artifact| artifact.repository.to_string()).unwrap_or_default();
        Repository { name, items: items.into_iter().flatten().collect() }
    }

    /// Returns a document and all documents below it.
    fn documents(&self, digest: Digest) -> Vec<Digest> {
        let mut met = HashSet::from([digest]);
        let mut found = vec![digest];
        let mut at = 0;
        while let Some(digest) = found.get(at).copied() {
            for child in self.entry(&digest).into_iter().flat_map(|entry| &entry.children) {
                if self.step() && met.insert(child.digest) {
                    found.push(child.digest);
                }
            }
            at += 1;
        }
        found
    }

    fn item(&mut self, artifact: &Artifact, documents: &[Digest]) -> Item {
        let name = match artifact.tags.first() {
            Some(tag) => format!("{}:{tag}", artifact.repository),
            None => format!("{}@{}", artifact.repository, artifact.digest),
        };
        let reach = self.reach(artifact.digest);
        for reason in reach.iter().flat_map(|reach| reach.lacks.keys()) {
            self.lacks.entry(*reason).or_default().push(name.clone());
        }
        let (mut platforms, left_out) = self.platforms(documents);
        let facts = self.configs.read(artifact);
        platforms.extend(facts.as_ref().and_then(|facts| facts.platform.clone()));
        let config = self.entry(&artifact.digest).and_then(|entry| entry.config.as_deref());
        let config = config.filter(|kind| !is_image(kind)).map(ToOwned::to_owned);
        let news = self.news.as_ref().map(|news| {
            let found = news.get(&(artifact.repository.to_string(), artifact.digest));
            found.copied().unwrap_or(Novelty::Same)
        });
        Item {
            tags: artifact.tags.iter().map(ToString::to_string).collect(),
            digest: artifact.digest.to_string(),
            kind: self.kind(artifact, documents),
            stated: artifact.artifact_type.clone().or(config),
            platforms,
            left_out,
            original: artifact.original.map(|original| original.to_string()),
            original_kept: artifact.original.is_some_and(|original| self.carried.contains(&original)),
            source: artifact.source.as_ref().map(ToString::to_string),
            bytes: reach.as_ref().map(|reach| reach.bytes),
            lacks: reach.map_or(0, |reach| reach.lacks.values().sum()),
            news,
            image: facts.map(|facts| Image { created: facts.created, labels: facts.labels, history: facts.history }),
            ..Item::default()
        }
    }

    fn platforms(&self, documents: &[Digest]) -> (Vec<String>, Vec<String>) {
        let (mut carried, mut left_out) = (BTreeSet::new(), BTreeSet::new());
        for child in documents.iter().filter_map(|one| self.entry(one)).flat_map(|entry| &entry.children) {
            if let Some(platform) = child.platform.as_ref().filter(|platform| !platform.is_unknown()) {
                let list = if self.absent.contains_key(&child.digest) { &mut left_out } else { &mut carried };
                list.insert(platform.to_string());
            }
        }
        (carried.into_iter().collect(), left_out.into_iter().collect())
    }

    /// Returns the content that a document reaches; `None` if the documents were not read, or if it
    /// would take too long.
    fn reach(&self, digest: Digest) -> Option<Reach> {
        self.catalogue?;
        let mut reach = Reach::default();
        let (mut met, mut open) = (HashSet::new(), vec![digest]);
        while let Some(digest) = open.pop() {
            if !self.step() {
                return None;
            }
            if !met.insert(digest) {
                continue;
            }
            match (self.sizes.get(&digest), self.absent.get(&digest)) {
                (Some(size), _) => reach.bytes = reach.bytes.saturating_add(*size),
                (None, Some(reason)) => *reach.lacks.entry(*reason).or_default() += 1,
                (None, None) => {}
            }
            if let Some(entry) = self.entry(&digest) {
                open.extend(entry.children.iter().map(|child| child.digest));
                open.extend(entry.leaves.iter().map(|(leaf, _)| *leaf));
            }
        }
        Some(reach)
    }

    fn kind(&self, artifact: &Artifact, documents: &[Digest]) -> Kind {
        let entry = self.entry(&artifact.digest);
        let predicate = entry.into_iter().flat_map(|entry| &entry.predicates).map(|kind| of_predicate(kind)).next();
        let stated = artifact.artifact_type.as_deref();
        let by_type = stated.or_else(|| entry?.config.as_deref()).and_then(of_type);
        let is_image = self.is_image(artifact, documents);
        match (by_tag(artifact).or(by_type), predicate) {
            (Some(Kind::Attestation | Kind::Signature) | None, Some(kind)) if !is_image => kind,
            (Some(kind), _) => kind,
            (None, _) if is_image => Kind::Image,
            (None, _) => Kind::Artifact,
        }
    }

    /// Returns whether an artifact is an image, judged by its config or that of a platform. If the
    /// documents were not read, an artifact without a type or a subject counts as an image.
    fn is_image(&self, artifact: &Artifact, documents: &[Digest]) -> bool {
        if artifact.artifact_type.is_some() || of_cosign(artifact).is_some() {
            return false;
        }
        let Some(own) = self.entry(&artifact.digest) else { return artifact.subject.is_none() };
        let config = |one: &Digest| self.entry(one).and_then(|entry| entry.config.as_deref());
        // An index whose platforms were left out still names them.
        documents.iter().filter_map(config).any(is_image) || own.children.iter().any(|child| child.platform.is_some())
    }

    /// Returns whether signatures, SBOMs and VEX come with an artifact, or with all or some of its
    /// platforms.
    fn brought(&self, documents: &[Digest], attached: &HashMap<Digest, With>) -> [Brought; 3] {
        let direct = |digest: &Digest| attached.get(digest).copied().unwrap_or_default();
        let own = documents.first().map(direct).unwrap_or_default();
        let (mut some, mut all) = ([false; 3], [true; 3]);
        for entry in documents.iter().filter_map(|one| self.entry(one)) {
            let mut inside: HashMap<Digest, With> = HashMap::new();
            for child in &entry.children {
                let Some(subject) = child.attests else { continue };
                let flags = inside.entry(subject).or_default();
                for kind in self.entry(&child.digest).into_iter().flat_map(|entry| &entry.predicates) {
                    let kind = with(of_predicate(kind));
                    kind.iter().zip(&mut *flags).for_each(|(own, flag)| *flag |= own);
                }
            }
            for child in entry.children.iter().filter(|child| child.attests.is_none()) {
                let is_leaf = self.entry(&child.digest).is_some_and(|below| below.children.is_empty());
                if is_leaf && !child.platform.as_ref().is_some_and(Platform::is_unknown) {
                    let below = inside.get(&child.digest).copied().unwrap_or_default();
                    for (at, has) in direct(&child.digest).into_iter().zip(below).map(|(a, b)| a || b).enumerate() {
                        some[at] |= has;
                        all[at] &= has;
                    }
                }
            }
        }
        std::array::from_fn(|at| match (own[at], some[at], all[at]) {
            (true, ..) | (_, true, true) => Brought::Yes,
            (_, true, false) => Brought::Some,
            (_, false, _) => Brought::No,
        })
    }
}

/// Returns, for each artifact that refers to another one here, the index of that one (of the
/// topmost one in a chain of referrers) and the digest of its subject.
fn homes(artifacts: &[Artifact], documents: &[Vec<Digest>]) -> Vec<Option<(usize, Digest)>> {
    let subject = |artifact: &Artifact| artifact.subject.or_else(|| of_cosign(artifact));
    let subjects: Vec<Option<Digest>> = artifacts.iter().map(subject).collect();
    let mut places: HashMap<Digest, usize> =
        artifacts.iter().enumerate().map(|(index, artifact)| (artifact.digest, index)).collect();
    for (index, below) in documents.iter().enumerate() {
        for child in below {
            places.entry(*child).or_insert(index);
        }
    }
    let step = |index: usize| {
        let home = *places.get(subjects[index].as_ref()?)?;
        (home != index).then_some(home)
    };
    let top = |index: usize| {
        let mut home = step(index)?;
        // A cycle has no top; then each artifact is listed on its own.
        for _ in 0..16 {
            match step(home) {
                Some(next) => home = next,
                None => return Some(home),
            }
        }
        None
    };
    (0..artifacts.len()).map(|index| Some((top(index)?, subjects[index]?))).collect()
}

/// Returns the kind that a cosign tag stands for.
fn by_tag(artifact: &Artifact) -> Option<Kind> {
    of_cosign(artifact)?;
    Some(match artifact.tags.first()?.as_str().rsplit_once('.')?.1 {
        "sig" => Kind::Signature,
        "sbom" => Kind::Sbom,
        _ => Kind::Attestation,
    })
}

/// Returns the digest that cosign's tag names as the artifact's subject.
fn of_cosign(artifact: &Artifact) -> Option<Digest> {
    cosign::subject(artifact.tags.first()?)
}

/// Returns the kind of an artifact from the type that a list of referrers shows for it.
pub fn kind_of(shown: &str) -> Kind {
    if is_image(shown) { Kind::Image } else { of_type(shown).unwrap_or_default() }
}

/// Returns the kind of artifact that a type stands for.
fn of_type(kind: &str) -> Option<Kind> {
    let has = |marks: &[&str]| marks.iter().any(|mark| kind.contains(mark));
    Some(match kind {
        _ if has(&["openvex", "vex+json", "csaf"]) => Kind::Vex,
        _ if has(&["spdx", "cyclonedx", "syft", "sbom"]) => Kind::Sbom,
        _ if has(&["cosign", "notary.signature", "sigstore.bundle", "simplesigning", "signature"]) => Kind::Signature,
        _ if has(&["in-toto", "dsse"]) => Kind::Attestation,
        CHART_CONFIG => Kind::Chart,
        _ => return None,
    })
}

/// Returns the kind that the predicate type of an attestation stands for.
fn of_predicate(kind: &str) -> Kind {
    let has = |marks: &[&str]| marks.iter().any(|mark| kind.contains(mark));
    match kind {
        _ if has(&["openvex", "/vex", "csaf"]) => Kind::Vex,
        _ if has(&["spdx", "cyclonedx"]) => Kind::Sbom,
        _ => Kind::Attestation,
    }
}
