//! One source over several: a repository is read from the places where something was selected from
//! it.
//!
//! If several places were selected from under one repository name, they are asked in order until
//! one has the content. Content is named by digest, so it does not matter which. A tag is
//! different: two places with different digests for it are an error that names both. Opens nothing,
//! and knows no kinds of places. Optional abilities are asked for place by place when they are
//! needed.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::sync::Arc;

use super::{Catalog, Error, Kind, Ranges, Referrers, Source, TagList};
use crate::base::fault::{Class, Description, Fault, differs};
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// Upper limit for the positions of one place, so that those of several do not mix.
const POSITIONS: u64 = 1 << 40;

/// A source with the user's name for it, such as `oci:DIR`.
pub struct Place {
    /// Its name in messages.
    pub name: String,
    /// The source to read from.
    pub source: Arc<dyn Source>,
}

/// One selected reference.
struct Selected {
    place: usize,
    reference: Reference,
    // Name that it is carried under; `None` without a tag.
    name: Option<(Repository, Tag)>,
}

/// Several sources as one.
pub struct Router {
    places: Vec<Place>,
    selected: Vec<Selected>,
    // Indexes into `selected` of each reference and each name.
    references: HashMap<Reference, Vec<usize>>,
    names: HashMap<(Repository, Tag), Vec<usize>>,
    repositories: HashMap<Repository, BTreeSet<usize>>,
    // Places that are asked for repositories that nothing was selected from.
    others: Vec<usize>,
}

impl Router {
    /// Returns a router over `places`, which are asked in this order. Repositories that nothing was
    /// selected from are read from `others`, or from every place if it is `None`.
    pub fn new(places: Vec<Place>, others: Option<usize>) -> Self {
        let others = others.map_or_else(|| (0..places.len()).collect(), |one| vec![one]);
        Self {
            places,
            selected: Vec::new(),
            references: HashMap::new(),
            names: HashMap::new(),
            repositories: HashMap::new(),
            others,
        }
    }

    /// Selects `reference` from the place with number `place`. It is carried as `repository` and
    /// `tag`.
    ///
    /// # Errors
    /// [`Class::Usage`] if another place has another digest for this name, as far as both are
    /// known.
    pub fn select(
        &mut self,
        place: usize,
        reference: &Reference,
        repository: &Repository,
        tag: Option<&Tag>,
    ) -> Result<(), Fault> {
        let number = self.selected.len();
        let name = tag.map(|tag| (repository.clone(), tag.clone()));
        let selected = Selected { place, reference: reference.clone(), name: name.clone() };
        if let Some(digest) = reference.digest
            && let Some((name, other, found)) = self.conflict(&selected, digest)
        {
            let what = self.two_digests(&name, (other, found), (place, digest));
            return Err(Fault::new(Class::Usage, what).help(GIVE_ANOTHER_NAME));
        }
        self.references.entry(reference.clone()).or_default().push(number);
        self.repositories.entry(reference.repository.clone()).or_default().insert(place);
        if let Some(name) = name {
            self.names.entry(name).or_default().push(number);
        }
        self.selected.push(selected);
        Ok(())
    }

    /// Returns the place that has another digest than `digest` for the name of `selected`: the name
    /// as text, the place, and its digest.
    fn conflict(&self, selected: &Selected, digest: Digest) -> Option<(String, usize, Digest)> {
        let name = selected.name.as_ref()?;
        self.names.get(name)?.iter().find_map(|number| {
            let other = &self.selected[*number];
            let found = other.reference.digest.filter(|found| *found != digest)?;
            (other.place != selected.place).then(|| (format!("{}:{}", name.0, name.1), other.place, found))
        })
    }

    fn two_digests(&self, name: &str, one: (usize, Digest), two: (usize, Digest)) -> Description {
        let (first, second) = (&self.places[one.0].name, &self.places[two.0].name);
        differs(name, "one manifest", format_args!("{} in {first} and {} in {second}", one.1, two.1))
    }

    /// Returns where `reference` is resolved: where it was selected, otherwise where its repository
    /// is read.
    fn places_of_reference(&self, reference: &Reference) -> BTreeSet<usize> {
        match self.references.get(reference) {
            Some(numbers) => numbers.iter().map(|number| self.selected[*number].place).collect(),
            None => self.places_of(&reference.repository).collect(),
        }
    }

    fn places_of(&self, repository: &Repository) -> impl Iterator<Item = usize> {
        let places = self.repositories.get(repository);
        let others = places.is_none().then_some(&self.others);
        places.into_iter().flatten().chain(others.into_iter().flatten()).copied()
    }

    fn sources(&self, repository: &Repository) -> impl Iterator<Item = &dyn Source> {
        self.places_of(repository).map(|place| &*self.places[place].source)
    }

    /// Returns the sources that may have content of a repository: its own, then those that have all
    /// their content in one store, such as the bundle that a delta relies on.
    fn sources_of_content(&self, repository: &Repository) -> impl Iterator<Item = &dyn Source> {
        let own: BTreeSet<usize> = self.places_of(repository).collect();
        let is_other = move |place: usize, source: &dyn Source| source.is_one_store() && !own.contains(&place);
        let others = self.places.iter().map(|place| &*place.source).enumerate();
        let others = others.filter(move |(place, source)| is_other(*place, *source)).map(|(_, source)| source);
        self.sources(repository).chain(others)
    }

    /// Returns the answer of the first place that has the content.
    fn first<'s, T>(
        &'s self,
        repository: &Repository,
        ask: impl Fn(&'s dyn Source) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut absent = None;
        for source in self.sources_of_content(repository) {
            match ask(source) {
                Err(error) if error.class == Kind::Absent => {
                    absent.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        Err(absent.unwrap_or_else(|| nowhere(repository)))
    }
}

const GIVE_ANOTHER_NAME: &str = "select one of them, or give one another name with `as=`";

fn nowhere(repository: &Repository) -> Error {
    Error::new(Kind::Absent, differs(repository, "a source that has it", "none"))
}

impl Source for Router {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let mut found: Option<(usize, Descriptor)> = None;
        let mut absent = None;
        for place in self.places_of_reference(reference) {
            match (self.places[place].source.resolve(reference), &found) {
                (Ok(descriptor), None) => found = Some((place, descriptor)),
                (Ok(descriptor), Some((first, other))) if descriptor.digest != other.digest => {
                    let what =
                        self.two_digests(&reference.to_string(), (*first, other.digest), (place, descriptor.digest));
                    return Err(Error::new(Kind::Refused, what));
                }
                (Ok(_), Some(_)) => {}
                (Err(error), _) if error.class == Kind::Absent => {
                    absent.get_or_insert(error);
                }
                (Err(error), _) => return Err(error),
            }
            // A digest is the same everywhere.
            if reference.digest.is_some() && found.is_some() {
                break;
            }
        }
        let Some((place, descriptor)) = found else {
            return Err(absent.unwrap_or_else(|| nowhere(&reference.repository)));
        };
        for number in self.references.get(reference).into_iter().flatten() {
            if let Some((name, other, digest)) = self.conflict(&self.selected[*number], descriptor.digest) {
                let what = self.two_digests(&name, (other, digest), (place, descriptor.digest));
                return Err(Error::new(Kind::Refused, what).help(GIVE_ANOTHER_NAME));
            }
        }
        Ok(descriptor)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.first(repository, |source| source.document(repository, descriptor))
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.first(repository, |source| source.blob(repository, descriptor))
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        let mut failed = None;
        for source in self.sources_of_content(repository) {
            match source.holds(repository, descriptor) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }

    fn position(&self, digest: &Digest) -> Option<u64> {
        let mut places = (0_u64..).zip(&self.places);
        places.find_map(|(number, place)| Some(place.source.position(digest)?.saturating_add(number * POSITIONS)))
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        self.places.iter().any(|place| place.source.ranges().is_some()).then_some(self)
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        self.places.iter().any(|place| place.source.referrers().is_some()).then_some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        self.places.iter().any(|place| place.source.tags().is_some()).then_some(self)
    }

    fn catalog(&self) -> Option<&dyn Catalog> {
        self.places.iter().any(|place| place.source.catalog().is_some()).then_some(self)
    }
}

impl Catalog for Router {
    /// Returns the repositories of all places that list any.
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let mut all = BTreeSet::new();
        for catalog in self.places.iter().filter_map(|place| place.source.catalog()) {
            all.extend(catalog.repositories(host)?);
        }
        Ok(all.into_iter().collect())
    }
}

impl Ranges for Router {
    fn range(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        self.first(repository, |source| match source.ranges() {
            Some(ranges) => ranges.range(repository, descriptor, offset, length),
            None if source.holds(repository, descriptor)? => Ok(None),
            None => Err(nowhere(repository)),
        })
    }
}

impl Referrers for Router {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.referrers_of(repository, |lists| lists.referrers(repository, subject))
    }

    fn referrers_without_tag(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.referrers_of(repository, |lists| lists.referrers_without_tag(repository, subject))
    }

    fn only_tags(&self, repository: &Repository, subject: Digest) -> Result<bool, Error> {
        for lists in self.sources(repository).filter_map(Source::referrers) {
            if !lists.only_tags(repository, subject)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Router {
    /// Returns the referrers that `ask` gets from any source of the repository, each once.
    fn referrers_of(
        &self,
        repository: &Repository,
        ask: impl Fn(&dyn Referrers) -> Result<Vec<Descriptor>, Error>,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for lists in self.sources(repository).filter_map(Source::referrers) {
            all.extend(ask(lists)?.into_iter().filter(|one| seen.insert(one.digest)));
        }
        Ok(all)
    }

    /// Returns the tags that `ask` gets from any source of the repository; `None` if one of them
    /// has too many.
    fn tags_of(
        &self,
        repository: &Repository,
        ask: impl Fn(&dyn TagList) -> Result<Option<Vec<Tag>>, Error>,
    ) -> Result<Option<Vec<Tag>>, Error> {
        let (mut all, mut absent, mut is_there) = (BTreeSet::new(), None, false);
        for source in self.sources(repository) {
            let list = source.tags().ok_or_else(|| {
                Error::new(Kind::Refused, differs(repository, "a list of tags", "a source without one"))
            })?;
            match ask(list) {
                Ok(None) => return Ok(None),
                Ok(Some(tags)) => {
                    is_there = true;
                    all.extend(tags);
                }
                Err(error) if error.class == Kind::Absent => {
                    absent.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        absent.filter(|_| !is_there).map_or_else(|| Ok(Some(all.into_iter().collect())), Err)
    }
}

impl TagList for Router {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let all = self.tags_of(repository, |list| list.tags(repository).map(Some))?;
        Ok(all.unwrap_or_default())
    }

    fn tags_within(&self, repository: &Repository, pages: usize) -> Result<Option<Vec<Tag>>, Error> {
        self.tags_of(repository, |list| list.tags_within(repository, pages))
    }
}

#[cfg(test)]
mod tests;
