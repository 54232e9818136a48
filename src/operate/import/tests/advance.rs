//! Tags that move from month to month, as long as nobody else moves them.

use super::*;
use crate::state::Tags;

/// The tags of a channel in memory; `is_broken` ends a run between its tags and their record.
#[derive(Default)]
struct Book {
    tags: Mutex<Tags>,
    writes: Mutex<Vec<&'static str>>,
    is_broken: AtomicBool,
}

impl TagBook for Book {
    fn digests(&self, repository: &Repository, tag: &Tag) -> Vec<Digest> {
        lock(&self.tags).of(repository.path(), tag).to_vec()
    }
    fn intend(&self, tags: &[Intended<'_>]) -> Result<(), Fault> {
        lock(&self.writes).push("intend");
        for one in tags {
            lock(&self.tags).intend(one.repository.path(), one.tag, one.found, one.digest);
        }
        Ok(())
    }
    fn record(&self, tags: &[Named<'_>]) -> Result<(), Fault> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(Fault::new(Class::Io, "killed"));
        }
        lock(&self.writes).push("record");
        for (repository, tag, digest) in tags {
            lock(&self.tags).set(repository.path(), tag, *digest);
        }
        Ok(())
    }
}

/// The bundle of a month: one image under `latest` and under the month's own tag.
fn month(name: &str) -> Set {
    let folder = TempDir::new().unwrap();
    let source = Layout::create(folder.path()).unwrap();
    let image = image(&source, &["base layer", name]);
    source.finish().unwrap();
    let artifacts = vec![artifact("a.example/app", &[name, "latest"], &image)];
    Set { _folder: folder, source, artifacts, shared: Digest::sha256(b"base layer") }
}

fn imported(set: &Set, rooms: &Rooms, book: &Book) -> Result<Imported, Fault> {
    let route = registry_route();
    run(&flow(2), &Request { tag_conflict: TagConflict::Advance, tag_book: Some(book), ..request(set, rooms, &route) })
}

fn latest(rooms: &Rooms) -> Option<Digest> {
    lock(&rooms.tags).get("reg.site/m/app:latest").copied()
}

#[test]
fn latest_moves_month_after_month() {
    let (rooms, book) = (Rooms::new(), Book::default());
    for name in ["may", "june", "july"] {
        let set = month(name);
        let done = imported(&set, &rooms, &book).unwrap();
        assert!(done.is_good() && done.artifacts[0].kept.is_empty());
        assert_eq!(latest(&rooms), Some(set.artifacts[0].digest), "{name}");
    }
    assert_eq!(*lock(&book.writes), ["intend", "record"].repeat(3));
    // The same once more changes nothing.
    let done = imported(&month("july"), &rooms, &book).unwrap();
    assert_eq!(done.artifacts[0].landed, Landed::Present);
}

#[test]
fn a_tag_that_somebody_else_moved_is_a_conflict_that_names_both_digests() {
    let (rooms, book) = (Rooms::new(), Book::default());
    let may = month("may");
    imported(&may, &rooms, &book).unwrap();
    let other = Digest::sha256(b"by hand");
    lock(&rooms.tags).insert("reg.site/m/app:latest".to_owned(), other);
    let before = lock(&rooms.calls).len();
    let fault = imported(&month("june"), &rooms, &book).unwrap_err();
    let own = may.artifacts[0].digest.to_string();
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.expected().unwrap().contains(&own) && fault.found().unwrap().contains(&other.to_string()), "{fault}");
    assert_eq!((lock(&rooms.calls).len(), latest(&rooms)), (before, Some(other)), "before anything is sent");
}

#[test]
fn a_tag_that_is_not_known_is_a_conflict() {
    let (rooms, book) = (Rooms::new(), Book::default());
    imported(&month("may"), &rooms, &book).unwrap();
    // The state is lost: nothing is known of the tag that is there.
    let fault = imported(&month("june"), &rooms, &Book::default()).unwrap_err();
    assert!(fault.class == Class::Policy && fault.what.contains("does not know"), "{fault}");
    // What names the same digest already is none, and is known from then on.
    let lost = Book::default();
    imported(&month("may"), &rooms, &lost).unwrap();
    assert!(imported(&month("june"), &rooms, &lost).unwrap().is_good());
}

#[test]
fn a_run_that_ends_between_its_tags_and_their_record_does_not_forget_them() {
    let (rooms, book) = (Rooms::new(), Book::default());
    imported(&month("may"), &rooms, &book).unwrap();
    book.is_broken.store(true, Ordering::SeqCst);
    let june = month("june");
    assert_eq!(imported(&june, &rooms, &book).unwrap_err().what, "killed");
    assert_eq!(latest(&rooms), Some(june.artifacts[0].digest), "it was set");
    book.is_broken.store(false, Ordering::SeqCst);
    assert!(imported(&month("july"), &rooms, &book).unwrap().is_good(), "its own tag");
}

#[test]
fn a_tag_that_moves_during_the_run_stays() {
    struct Meddler<'a>(&'a Rooms, Digest);
    impl ImportCheck for Meddler<'_> {
        fn before_tags(&self) -> Result<(), Fault> {
            lock(&self.0.tags).insert("reg.site/m/app:latest".to_owned(), self.1);
            Ok(())
        }
    }
    let (rooms, book, route) = (Rooms::new(), Book::default(), registry_route());
    imported(&month("may"), &rooms, &book).unwrap();
    let (june, other) = (month("june"), Digest::sha256(b"by hand"));
    let check = Meddler(&rooms, other);
    let request = Request {
        tag_conflict: TagConflict::Advance,
        tag_book: Some(&book),
        check: &check,
        ..request(&june, &rooms, &route)
    };
    let fault = run(&flow(1), &request).unwrap_err();
    assert!(fault.class == Class::Policy && fault.what.contains("during this run"), "{fault}");
    assert_eq!(latest(&rooms), Some(other));
}
