//! Tests of the router over sources in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::*;
use crate::content::catalog;
use crate::oci::media_type::OCI_MANIFEST;

/// Tags and content of one place. Records what it was asked for.
#[derive(Default)]
struct Store {
    names: BTreeMap<String, Digest>,
    blobs: HashMap<Digest, Vec<u8>>,
    refers: Vec<Descriptor>,
    has_lists: bool,
    denies: bool,
    is_one: bool,
    asked: Mutex<Vec<String>>,
}

impl Store {
    fn with(names: &[(&str, &str)]) -> Self {
        let mut store = Self { has_lists: true, ..Self::default() };
        for (name, content) in names {
            let digest = Digest::sha256(content.as_bytes());
            store.names.insert((*name).to_owned(), digest);
            store.blobs.insert(digest, content.as_bytes().to_vec());
        }
        store
    }

    fn read(&self, what: &str, digest: Digest) -> Result<&Vec<u8>, Error> {
        self.asked.lock().unwrap().push(format!("{what} {digest}"));
        if self.denies {
            return Err(Error::new(Kind::Denied, "not for you"));
        }
        self.blobs.get(&digest).ok_or_else(|| Error::new(Kind::Absent, "not here"))
    }
}

impl Source for Store {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let named = self.names.get(&Reference { digest: None, ..reference.clone() }.to_string());
        let digest = reference.digest.or(named.copied()).ok_or_else(|| Error::new(Kind::Absent, "no such tag"))?;
        let size = self.read("resolve", digest)?.len() as u64;
        Ok(Descriptor::new(OCI_MANIFEST, digest, size))
    }
    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        let raw = self.read("document", descriptor.digest)?;
        Document::with_digest(&descriptor.media_type, descriptor.digest, &raw[..])
            .map_err(|error| Error::new(Kind::Refused, error.to_string()))
    }
    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(&self.read("blob", descriptor.digest)?[..]))
    }
    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        match self.read("holds", descriptor.digest) {
            Err(error) if error.class == Kind::Absent => Ok(false),
            answer => answer.map(|_| true),
        }
    }
    fn is_one_store(&self) -> bool {
        self.is_one
    }
    fn catalog(&self) -> Option<&dyn Catalog> {
        self.has_lists.then_some(self)
    }
    fn ranges(&self) -> Option<&dyn Ranges> {
        self.has_lists.then_some(self)
    }
    fn referrers(&self) -> Option<&dyn Referrers> {
        self.has_lists.then_some(self)
    }
    fn tags(&self) -> Option<&dyn TagList> {
        self.has_lists.then_some(self)
    }
}

impl Catalog for Store {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let all = self.names.keys().map(|name| name.parse::<Reference>().unwrap().repository);
        Ok(all.filter(|one| host.is_none_or(|host| one.host() == host)).collect())
    }
}

impl Ranges for Store {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        let part = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        Ok(Some(Box::new(&self.read("range", descriptor.digest)?[part])))
    }
}

impl Referrers for Store {
    fn referrers(&self, _: &Repository, _: Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.refers.clone())
    }
}

impl TagList for Store {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let references = self.names.keys().map(|name| name.parse::<Reference>().unwrap());
        Ok(references.filter(|one| one.repository == *repository).filter_map(|one| one.tag).collect())
    }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn pinned(text: &str, content: &str) -> Reference {
    Reference { digest: Some(Digest::sha256(content.as_bytes())), ..reference(text) }
}

fn router(stores: Vec<Store>, others: Option<usize>) -> (Router, Vec<Arc<Store>>) {
    let stores: Vec<Arc<Store>> = stores.into_iter().map(Arc::new).collect();
    let place = |(number, store): (usize, &Arc<Store>)| Place {
        name: format!("place {number}"),
        source: Arc::clone(store) as Arc<dyn Source>,
    };
    (Router::new(stores.iter().enumerate().map(place).collect(), others), stores)
}

fn select(router: &mut Router, place: usize, reference: &Reference) -> Result<(), Fault> {
    router.select(place, reference, &reference.repository, reference.tag.as_ref())
}

fn blob(content: &str) -> Descriptor {
    Descriptor::new("x/y", Digest::sha256(content.as_bytes()), content.len() as u64)
}

#[test]
fn each_repository_is_read_where_it_was_selected() {
    let (mut router, stores) =
        router(vec![Store::with(&[("h.example/a:1", "a")]), Store::with(&[("h.example/b:1", "b")])], Some(1));
    select(&mut router, 0, &pinned("h.example/a:1", "a")).unwrap();
    select(&mut router, 1, &reference("h.example/b:1")).unwrap();
    assert_eq!(router.resolve(&reference("h.example/b:1")).unwrap().digest, blob("b").digest);
    assert!(stores[0].asked.lock().unwrap().is_empty());
    assert_eq!(router.resolve(&pinned("h.example/a:1", "a")).unwrap().digest, blob("a").digest);
    let (a, b, c) = (reference("h.example/a"), reference("h.example/b"), reference("h.example/c"));
    assert!(router.holds(&a.repository, &blob("a")).unwrap() && !router.holds(&a.repository, &blob("b")).unwrap());
    assert!(router.holds(&b.repository, &blob("b")).unwrap() && !router.holds(&b.repository, &blob("a")).unwrap());
    // A repository that nothing was selected from is read from the place named for that.
    assert!(router.holds(&c.repository, &blob("b")).unwrap() && !router.holds(&c.repository, &blob("a")).unwrap());
    let Err(error) = router.blob(&a.repository, &blob("b")) else { panic!("found") };
    assert_eq!(error.class, Kind::Absent);
}

#[test]
fn content_under_one_name_comes_from_the_first_that_has_it() {
    let (mut router, stores) = router(
        vec![
            Store::with(&[("h.example/a:1", "one"), ("h.example/a:both", "both")]),
            Store::with(&[("h.example/a:2", "two"), ("h.example/a:both", "both")]),
        ],
        None,
    );
    select(&mut router, 0, &pinned("h.example/a:1", "one")).unwrap();
    select(&mut router, 1, &pinned("h.example/a:2", "two")).unwrap();
    for place in [0, 1] {
        select(&mut router, place, &pinned("h.example/a:both", "both")).unwrap();
    }
    let repository = reference("h.example/a").repository;
    let read = |content: &str| {
        let mut text = String::new();
        router.blob(&repository, &blob(content)).unwrap().read_to_string(&mut text).unwrap();
        let mut part = String::new();
        let range = router.range(&repository, &blob(content), 1, 2).unwrap().unwrap();
        { range }.read_to_string(&mut part).unwrap();
        assert_eq!(part, content[1..3]);
        text
    };
    assert_eq!([read("one"), read("two"), read("both")], ["one", "two", "both"]);
    let asked = stores[1].asked.lock().unwrap();
    assert!(!asked.iter().any(|asked| asked.contains(&blob("both").digest.to_string())), "{asked:?}");
    let tags = TagList::tags(&router, &repository).unwrap();
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["1", "2", "both"]);
}

#[test]
fn two_digests_for_one_name_are_refused_with_both_places() {
    let both = |what: &str| what.contains("place 0") && what.contains("place 1");
    let stores = || vec![Store::with(&[("h.example/a:1", "one")]), Store::with(&[("h.example/a:1", "two")])];
    // Both known: refused before anything is asked for.
    let (mut offline, _) = router(stores(), None);
    select(&mut offline, 0, &pinned("h.example/a:1", "one")).unwrap();
    let fault = select(&mut offline, 1, &pinned("h.example/a:1", "two")).unwrap_err();
    assert!(fault.class == Class::Usage && both(&fault.what), "{fault:?}");
    let (other, tag) = (reference("h.example/b").repository, reference("h.example/a:1").tag);
    offline.select(1, &pinned("h.example/a:1", "two"), &other, tag.as_ref()).unwrap();
    // One known: when the other is resolved.
    let (mut online, _) = router(stores(), Some(1));
    select(&mut online, 0, &pinned("h.example/a:1", "one")).unwrap();
    select(&mut online, 1, &reference("h.example/a:1")).unwrap();
    let error = online.resolve(&reference("h.example/a:1")).unwrap_err();
    assert!(error.class == Kind::Refused && both(&error.what), "{error:?}");
    // None selected: a tag that is only looked for, such as cosign's.
    let (mut looked, _) = router(stores(), None);
    for place in [0, 1] {
        select(&mut looked, place, &pinned("h.example/a:2", ["one", "two"][0])).unwrap();
    }
    let error = looked.resolve(&reference("h.example/a:1")).unwrap_err();
    assert!(error.class == Kind::Refused && both(&error.what), "{error:?}");
}

#[test]
fn abilities_are_asked_for_place_by_place() {
    let mut one = Store::with(&[("h.example/a:1", "one")]);
    let mut two = Store::with(&[("h.example/a:2", "two")]);
    one.refers = vec![blob("sbom"), blob("sig")];
    two.refers = vec![blob("sig"), blob("vex")];
    let plain = Store { has_lists: false, ..Store::with(&[("h.example/b:1", "bare")]) };
    let (mut router, _) = router(vec![one, two, plain], None);
    select(&mut router, 0, &pinned("h.example/a:1", "one")).unwrap();
    select(&mut router, 1, &pinned("h.example/a:2", "two")).unwrap();
    select(&mut router, 2, &pinned("h.example/b:1", "bare")).unwrap();
    let (a, b) = (reference("h.example/a").repository, reference("h.example/b").repository);
    let lists = Source::referrers(&router).unwrap();
    assert_eq!(lists.referrers(&a, blob("one").digest).unwrap(), [blob("sbom"), blob("sig"), blob("vex")]);
    assert!(lists.referrers(&b, blob("bare").digest).unwrap().is_empty());
    assert!(router.range(&b, &blob("bare"), 0, 1).unwrap().is_none(), "the whole must be streamed");
    assert_eq!(TagList::tags(&router, &b).unwrap_err().class, Kind::Refused);
}

#[test]
fn a_place_that_denies_is_not_passed_over() {
    let denying = Store { denies: true, ..Store::with(&[("h.example/a:1", "one")]) };
    let (mut router, _) = router(vec![Store::with(&[]), denying], None);
    let one = pinned("h.example/a:1", "one");
    select(&mut router, 0, &one).unwrap();
    select(&mut router, 1, &one).unwrap();
    assert_eq!(router.resolve(&one).unwrap_err().class, Kind::Denied);
    assert_eq!(router.holds(&one.repository, &blob("one")).unwrap_err().class, Kind::Denied);
}

#[test]
fn content_is_also_found_in_a_place_that_keeps_all_in_one_store() {
    for is_one_store in [false, true] {
        let store =
            Store { is_one: is_one_store, ..Store::with(&[("h.example/b:1", "two"), ("h.example/b:2", "layer")]) };
        let (mut router, _) = router(vec![Store::with(&[("h.example/a:1", "one")]), store], None);
        let (one, two) = (pinned("h.example/a:1", "one"), pinned("h.example/b:1", "two"));
        select(&mut router, 0, &one).unwrap();
        select(&mut router, 1, &two).unwrap();
        assert_eq!(router.holds(&one.repository, &blob("layer")).unwrap(), is_one_store);
        assert_eq!(router.blob(&one.repository, &blob("layer")).is_ok(), is_one_store);
        // Names are still those of the place that they were selected from.
        let foreign = Reference { tag: Tag::new("2").ok(), digest: None, ..one };
        assert_eq!(router.resolve(&foreign).unwrap_err().class, Kind::Absent);
        let all = catalog::below(&router, Some("h.example"), "").unwrap();
        assert_eq!(all.iter().map(Repository::path).collect::<Vec<_>>(), ["a", "b"]);
    }
}
