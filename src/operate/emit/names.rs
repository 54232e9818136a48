//! Names of artifacts that arrived, old and new, from one or several receipts.
//!
//! Later imports win, by the time at which they ended. Only what was read back at the destination
//! counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::base::fault::{Class, Fault, differs, escape};
use crate::decide::route::{Place, Route};
use crate::oci::{Digest, Repository, Tag, cosign};
use crate::receipt::{Arrival, Outcome, Receipt, State};

/// A repository with its old and its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Old name: the repository in the bundle.
    pub source: Repository,
    /// New name: the repository at the destination.
    pub destination: Repository,
    /// Tags, without those that carry referrers.
    pub tags: BTreeMap<Tag, Digest>,
    /// Digests that none of the tags names.
    pub untagged: Vec<Digest>,
}

impl Name {
    /// Returns the prefix below which the new host has the repository under its old path: empty, or
    /// without the slash. `None` if the path is another one.
    pub fn prefix(&self) -> Option<&str> {
        let before = self.destination.path().strip_suffix(self.source.path())?;
        if before.is_empty() { Some("") } else { before.strip_suffix('/') }
    }

    /// Returns whether the old and the new name are the same.
    pub fn is_unchanged(&self) -> bool {
        self.source == self.destination
    }

    /// Returns the names with which manifests may mean this repository, the full one last. Only
    /// docker.io has others.
    pub fn spellings(&self) -> Vec<String> {
        let (host, path) = (self.source.host(), self.source.path());
        let mut all = Vec::new();
        if host == "docker.io" {
            if let Some(official) = official(path) {
                all.extend([official.to_owned(), format!("{host}/{official}")]);
            }
            all.push(path.to_owned());
        }
        all.push(self.source.to_string());
        all
    }
}

/// Returns the short name of an official image of docker.io.
fn official(path: &str) -> Option<&str> {
    path.strip_prefix("library/").filter(|name| !name.contains('/'))
}

/// A name without a host that several repositories have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The name, as it may be in a manifest.
    pub name: String,
    /// Repositories, by name.
    pub repositories: Vec<Repository>,
}

/// An artifact whose repository was imported under another name later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Old name.
    pub source: Repository,
    /// Repository that has it.
    pub destination: Repository,
    /// Digest.
    pub digest: Digest,
}

/// Names of a set of receipts.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Repositories, by old name.
    pub all: Vec<Name>,
    /// Artifacts of which no receipt says that they arrived.
    pub unarrived: Vec<(Repository, Digest)>,
    /// Artifacts that are only at the place of an earlier import.
    pub elsewhere: Vec<Elsewhere>,
}

/// Knowledge of a repository while receipts are read.
struct Growing {
    destination: Repository,
    /// Digest of each tag, and the repository that had it.
    tags: BTreeMap<Tag, (Digest, Repository)>,
    /// Repository that has each digest, and whether something else than referrers' tags may mean it.
    digests: BTreeMap<Digest, (Repository, bool)>,
}

/// Owner of a tag at the destination: number of the receipt, old name, digest.
type Owners = HashMap<(Repository, Tag), (usize, Repository, Digest)>;

/// Returns the names of `receipts`. With `to`, the registry is called that instead of the
/// destination in the receipts.
///
/// # Errors
/// [`Class::Usage`] for a receipt of a layout without `to`; [`Class::Format`] for a destination that
/// is no name or not below the receipt's; [`Class::Policy`] if two artifacts would share a name.
pub fn of(receipts: &[Receipt], to: Option<&Place>) -> Result<Names, Fault> {
    let mut order: Vec<&Receipt> = receipts.iter().collect();
    order.sort_by_key(|receipt| receipt.ended);
    let mut growing: BTreeMap<Repository, Growing> = BTreeMap::new();
    let mut unarrived = BTreeSet::new();
    let mut owners = Owners::new();
    for (number, receipt) in order.into_iter().enumerate() {
        let rename = Rename::of(receipt, to)?;
        for arrival in &receipt.artifacts {
            let key = (arrival.repository.clone(), arrival.digest);
            match arrival.outcome {
                Outcome::Pushed | Outcome::Present => unarrived.remove(&key),
                Outcome::Failed | Outcome::Unread => {
                    let known = growing.get(&arrival.repository);
                    if known.is_none_or(|known| !known.digests.contains_key(&arrival.digest)) {
                        unarrived.insert(key);
                    }
                    continue;
                }
                Outcome::Left | Outcome::LeftOut => continue,
            };
            let destination = rename.apply(arrival)?;
            add(&mut growing, &mut owners, number, arrival, &destination)?;
        }
    }
    let mut names = Names { unarrived: unarrived.into_iter().collect(), ..Names::default() };
    for (source, known) in growing {
        names.take(source, known);
    }
    Ok(names)
}

fn add(
    growing: &mut BTreeMap<Repository, Growing>,
    owners: &mut Owners,
    number: usize,
    arrival: &Arrival,
    destination: &Repository,
) -> Result<(), Fault> {
    let source = &arrival.repository;
    let known = growing.entry(source.clone()).or_insert_with(|| Growing {
        destination: destination.clone(),
        tags: BTreeMap::new(),
        digests: BTreeMap::new(),
    });
    known.destination.clone_from(destination);
    let carries = |tag: &Tag| tag.is_referrers_fallback() || cosign::subject(tag).is_some();
    let is_named = arrival.tags.is_empty() || arrival.tags.iter().any(|tag| !carries(&tag.name));
    known.digests.insert(arrival.digest, (destination.clone(), is_named));
    let mut lost = Vec::new();
    for tag in arrival.tags.iter().filter(|tag| !carries(&tag.name)) {
        match tag.outcome {
            State::Set | State::Present => {
                known.tags.insert(tag.name.clone(), (arrival.digest, destination.clone()));
                let owner = (number, source.clone(), arrival.digest);
                let earlier = owners.insert((destination.clone(), tag.name.clone()), owner);
                let Some((at, other, digest)) = earlier.filter(|(_, other, _)| other != source) else { continue };
                if at == number && digest != arrival.digest {
                    let name = format!("tag {destination}:{}", tag.name);
                    let found = format!("{other} ({digest}) and {source} ({})", arrival.digest);
                    return Err(Fault::new(Class::Policy, differs(name, "one artifact", found))
                        .help("leave out --to, or import into a registry and use that receipt"));
                }
                if digest != arrival.digest {
                    lost.push((other, tag.name.clone()));
                }
            }
            // It names something else, at the destination as before.
            State::Kept => {
                if known.tags.get(&tag.name).is_some_and(|(digest, _)| Some(*digest) != tag.read_back) {
                    known.tags.remove(&tag.name);
                }
            }
            State::Unread | State::Failed | State::LeftOut => {}
        }
    }
    for (other, tag) in lost {
        if let Some(other) = growing.get_mut(&other) {
            other.tags.remove(&tag);
        }
    }
    Ok(())
}

/// The new names of one receipt.
struct Rename<'a> {
    receipt: &'a Receipt,
    /// Route of a layout's names.
    layout: Option<Route>,
    /// The receipt's destination and the registry to name instead.
    moved: Option<(&'a str, &'a str, &'a str)>,
}

impl<'a> Rename<'a> {
    fn of(receipt: &'a Receipt, to: Option<&'a Place>) -> Result<Self, Fault> {
        let typed = receipt.destination.strip_prefix("oci://").unwrap_or(&receipt.destination);
        if typed.starts_with("oci:") {
            let Some(place) = to else {
                let name = format!("receipt of {}", escape(&receipt.bundle.name));
                let what = differs(name, "an import into a registry", escape(&receipt.destination));
                return Err(Fault::usage(what, "name the registry that serves this layout: --to HOST[/PREFIX]"));
            };
            return Ok(Self { receipt, layout: Some(Route::new(place.clone(), false, Vec::new())), moved: None });
        }
        let moved = match to {
            Some(Place::Registry { host, prefix }) => Some((typed.trim_end_matches('/'), &**host, &**prefix)),
            _ => None,
        };
        Ok(Self { receipt, layout: None, moved })
    }

    fn apply(&self, arrival: &Arrival) -> Result<Repository, Fault> {
        let wrong = |found: &str| {
            let name =
                format!("receipt of {}: destination of {}", escape(&self.receipt.bundle.name), arrival.repository);
            let below = format!("a repository below {}", escape(&self.receipt.destination));
            Fault::new(Class::Format, differs(name, below, escape(found)))
                .help("get the receipt again from whoever imported the bundle")
        };
        let Some(text) = &arrival.destination else { return Err(wrong("none")) };
        let there = Repository::exact(text).map_err(|_| wrong(text))?;
        if let Some(route) = &self.layout {
            return route.destination(&there);
        }
        let Some((from, host, prefix)) = self.moved else { return Ok(there) };
        let rest = text.strip_prefix(from).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| wrong(text))?;
        let path = if prefix.is_empty() { rest.to_owned() } else { format!("{prefix}/{rest}") };
        Repository::new(host, &path).map_err(|_| wrong(text))
    }
}

impl Names {
    fn take(&mut self, source: Repository, known: Growing) {
        let Growing { destination, tags, digests } = known;
        let tags: BTreeMap<Tag, Digest> = tags
            .into_iter()
            .filter(|(_, (_, there))| *there == destination)
            .map(|(tag, (digest, _))| (tag, digest))
            .collect();
        let tagged: HashSet<Digest> = tags.values().copied().collect();
        let mut untagged = Vec::new();
        for (digest, (there, is_named)) in digests {
            if there != destination {
                self.elsewhere.push(Elsewhere { source: source.clone(), destination: there, digest });
            } else if is_named && !tagged.contains(&digest) {
                untagged.push(digest);
            }
        }
        self.all.push(Name { source, destination, tags, untagged });
    }

    /// Returns the names that mean several repositories of the set if no host is written.
    pub fn ambiguous(&self) -> Vec<Ambiguous> {
        let mut named: BTreeMap<&str, Vec<&Repository>> = BTreeMap::new();
        for name in &self.all {
            let path = name.source.path();
            named.entry(path).or_default().push(&name.source);
            if let Some(short) = official(path).filter(|_| name.source.host() == "docker.io") {
                named.entry(short).or_default().push(&name.source);
            }
        }
        let several = named.into_iter().filter(|(_, repositories)| repositories.len() > 1);
        several
            .map(|(name, repositories)| Ambiguous {
                name: name.to_owned(),
                repositories: repositories.into_iter().cloned().collect(),
            })
            .collect()
    }

    /// Returns the old name of each repository at the destination, one of several.
    pub fn by_destination(&self) -> HashMap<&Repository, &Repository> {
        self.all.iter().map(|name| (&name.destination, &name.source)).collect()
    }

    /// Returns the repositories that have another name now, by host of the old one.
    pub fn by_host(&self) -> BTreeMap<&str, Vec<&Name>> {
        let mut hosts: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
        for name in self.all.iter().filter(|name| !name.is_unchanged()) {
            hosts.entry(name.source.host()).or_default().push(name);
        }
        hosts
    }
}
