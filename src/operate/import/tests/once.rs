//! A source whose blobs pass once, and a destination where mounts fail.

use super::*;
use crate::base::fault::Reason as FaultReason;
use crate::content::Passing;

/// A layout as a stream: each blob can be opened once.
struct Stream<'a> {
    layout: &'a Layout,
    opened: Mutex<HashSet<Digest>>,
}

impl Source for Stream<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.layout.resolve(reference)
    }
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.layout.document(repository, descriptor)
    }
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        if !lock(&self.opened).insert(descriptor.digest) {
            return Err(Error::new(Kind::Content(Class::Destination), "has passed").reason(FaultReason::HasPassed));
        }
        self.layout.blob(repository, descriptor)
    }
    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.layout.holds(repository, descriptor)
    }
    fn passing(&self) -> Option<&dyn Passing> {
        Some(self)
    }
}

impl Passing for Stream<'_> {
    fn is_to_come(&self, _: &Digest) -> bool {
        true
    }
    fn is_given_once(&self, _: &Digest) -> bool {
        true
    }
    fn pass(
        &self,
        wants: &(dyn Fn(&Digest) -> bool + Sync),
        take: &(dyn Fn(&Digest) -> Result<(), Fault> + Sync),
    ) -> Result<(), Fault> {
        let blobs = ["base layer", "one", "two", "three", "base layerone", "base layertwo", "base layerthree"];
        blobs
            .iter()
            .map(|blob| Digest::sha256(blob.as_bytes()))
            .filter(|digest| wants(digest))
            .try_for_each(|d| take(&d))
    }
}

#[test]
fn what_passed_is_read_again_where_it_went() {
    let (set, route) = (set(), registry_route());
    for mounts in [true, false] {
        let rooms = Rooms { mounts, ..Rooms::new() };
        let stream = Stream { layout: &set.source, opened: Mutex::default() };
        let request = Request { source: &stream, ..request(&set, &rooms, &route) };
        let done = run(&flow(2), &request).unwrap();
        assert!(done.is_good());
        for name in ["x", "y"] {
            assert!(rooms.has(&repository(&format!("reg.site/m/{name}")), set.shared), "{name}, {mounts}");
        }
        assert_eq!(lock(&rooms.tags).len(), 4);
        // The layer that all share is in three repositories.
        assert_eq!((done.pushed, done.mounted), if mounts { (7, 4) } else { (11, 0) });
    }
}
