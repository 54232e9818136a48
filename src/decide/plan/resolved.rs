//! Resolved tags of one run. Each tag is resolved once, even if several threads ask for it at the
//! same time, so that a tag that moves during the run means one version everywhere.
//!
//! Failures are not kept: a later attempt may succeed.

use crate::base::lock::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::content::{Error, Source};
use crate::oci::{Descriptor, Digest, Reference, Repository, Tag};

/// Key of an answer: a digest pins the reference, whatever its tag.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Pinned(Digest),
    Tagged(Option<Tag>),
}

/// Locked by the thread that resolves the tag, so that others wait for the answer.
type Slot = Arc<Mutex<Option<Descriptor>>>;

/// Answers of one source.
#[derive(Default)]
pub struct Resolved(Mutex<HashMap<(Repository, Name), Slot>>);

impl Resolved {
    fn slot(&self, repository: &Repository, name: Name) -> Slot {
        let mut slots = lock(&self.0);
        Arc::clone(slots.entry((repository.clone(), name)).or_default())
    }

    /// Returns the descriptor of `reference` at `source`; resolves it if it is not known yet.
    ///
    /// # Errors
    /// Errors of the source.
    pub fn get(&self, source: &dyn Source, reference: &Reference) -> Result<Descriptor, Error> {
        let name = reference.digest.map_or_else(|| Name::Tagged(reference.tag.clone()), Name::Pinned);
        let slot = self.slot(&reference.repository, name);
        let mut slot = lock(&slot);
        if let Some(found) = &*slot {
            return Ok(found.clone());
        }
        let found = source.resolve(reference)?;
        if reference.digest.is_none() {
            let pinned = self.slot(&reference.repository, Name::Pinned(found.digest));
            lock(&pinned).get_or_insert_with(|| found.clone());
        }
        Ok(slot.insert(found).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::content::Kind;
    use crate::oci::Document;

    /// A source whose tags name something else each time.
    #[derive(Default)]
    struct Moving(AtomicU8);

    impl Source for Moving {
        fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
            let now = self.0.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
            if reference.tag.as_ref().is_some_and(|tag| tag.as_str() == "odd") && now.is_multiple_of(2) {
                return Err(Error::new(Kind::Failed, "not now"));
            }
            let digest = reference.digest.unwrap_or_else(|| Digest::sha256(&[now]));
            Ok(Descriptor::new("x/y", digest, 1))
        }
        fn document(&self, _: &Repository, _: &Descriptor) -> Result<Document, Error> {
            Err(Error::new(Kind::Absent, ""))
        }
        fn blob(&self, _: &Repository, _: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
            Err(Error::new(Kind::Absent, ""))
        }
        fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, Error> {
            Ok(false)
        }
    }

    #[test]
    fn a_tag_is_asked_for_once_by_however_many() {
        let (source, resolved) = (Moving::default(), Resolved::default());
        let get = |text: &str| resolved.get(&source, &text.parse().unwrap());
        let found: Vec<Descriptor> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..16).map(|_| scope.spawn(|| get("h.example/a:1").unwrap())).collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found.iter().all(|one| *one == found[0]));
        assert_eq!(source.0.load(Ordering::Relaxed), 1);
        get(&format!("h.example/a:2@{}", found[0].digest)).unwrap();
        assert_eq!(source.0.load(Ordering::Relaxed), 1, "its digest is known as well");
        let others = ["h.example/a:2", "h.example/b:1", "g.example/a:1"].map(|text| get(text).unwrap().digest);
        assert!(others.iter().all(|other| *other != found[0].digest) && others[0] != others[1]);
        // A failure is not kept.
        assert!(get("h.example/a:odd").is_err() && get("h.example/a:odd").is_ok());
    }
}
