//! Very many tags into a layout: a signal ends the run after a few more steps, whenever it comes.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::oci::Absent;

/// A layout that counts its steps and cancels the run at one of them.
struct Counted {
    store: Layout,
    flag: Arc<AtomicBool>,
    steps: AtomicUsize,
    last: usize,
}

impl Counted {
    fn step(&self) {
        if self.steps.fetch_add(1, Ordering::SeqCst) + 1 == self.last {
            self.flag.store(true, Ordering::SeqCst);
        }
    }
}

impl Inventory for Counted {
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.step();
        self.store.has_blob(repository, blob)
    }
    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        self.step();
        self.store.has_manifest(repository, digest)
    }
    fn keeps_whole(&self) -> bool {
        self.store.keeps_whole()
    }
    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.step();
        self.store.tag(repository, tag)
    }
    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error> {
        self.step();
        self.store.read_back(repository, tag, expected)
    }
}

impl Destination for Counted {
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error> {
        self.step();
        self.store.put_blob(repository, blob, body)
    }
    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.step();
        self.store.put_manifest(repository, document)
    }
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error> {
        self.step();
        self.store.set_tag(repository, tag, document)
    }
    fn set_root(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.step();
        self.store.set_root(repository, document)
    }
    fn finish(&self) -> Result<(), Error> {
        self.step();
        self.store.finish()
    }
}

/// One artifact with very many tags, and many others with one each.
fn crowd(set: &Set) -> Vec<Artifact> {
    let three = &set.artifacts[2];
    let tags = (0..2000).map(|number| Tag::new(&format!("t{number:05}")).unwrap()).collect();
    let mut all = vec![Artifact { tags, ..three.clone() }];
    all.extend(
        (0..300).map(|number| Artifact { repository: repository(&format!("c.example/r{number:03}")), ..three.clone() }),
    );
    all.extend(set.artifacts.iter().take(2).cloned());
    all
}

/// Imports, cancelled at a step. Returns the outcome, the number of steps, and the names in the
/// layout afterwards.
fn carried(artifacts: &[Artifact], set: &Set, jobs: usize, last: usize) -> (Result<Imported, Fault>, usize, usize) {
    let folder = TempDir::new().unwrap();
    let flow = flow(jobs);
    let open = || Layout::create(folder.path()).unwrap();
    let rooms = Counted { store: open().in_flow(&flow), flag: flow.cancel_flag(), steps: AtomicUsize::new(0), last };
    let (route, ledger) = (Route::new(Place::Layout, true, Vec::new()), Mutex::default());
    let absent: [Absent; 0] = [];
    let request = Request { ledger: Some(&ledger), absent: &absent, artifacts, ..request(set, &rooms, &route) };
    let done = run(&flow, &request);
    let steps = rooms.steps.load(Ordering::SeqCst);
    drop(rooms);
    (done, steps, open().entries().len())
}

#[test]
fn g6_a_signal_ends_a_layout_import_of_many_tags_within_a_few_steps() {
    let set = set();
    let artifacts = crowd(&set);
    for jobs in [1, 4] {
        let (done, whole, names) = carried(&artifacts, &set, jobs, usize::MAX);
        assert!(done.unwrap().is_good());
        assert!(names >= 2300 && whole > 3 * 2300, "{names} names, {whole} steps");
        for part in 0..15 {
            let last = 1 + whole * part / 15;
            let (done, steps, names) = carried(&artifacts, &set, jobs, last);
            assert_eq!(done.unwrap_err().class, Class::Cancelled, "at {last} of {whole}");
            assert!(steps - last < 3 * jobs, "at {last} of {whole}: {steps} steps, {jobs} jobs");
            // All names or none: they are written with one file.
            assert!([0, 2303].contains(&names), "at {last} of {whole}: {names} names");
        }
        // At the last step before reading back, no name exists yet.
        let reads = 2303 + 303 - 1;
        let (done, _, names) = carried(&artifacts, &set, jobs, whole - reads);
        assert_eq!((done.unwrap_err().class, names), (Class::Cancelled, 0), "{whole}");
    }
}

#[test]
fn a_layout_takes_no_more_names_than_its_file_can_be_read_with() {
    let set = set();
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let document = set.source.document(set.source.repository(), &set.artifacts[2].descriptor()).unwrap();
    let long = repository(&format!("c.example/{}", "r".repeat(240)));
    let mut names = 0..;
    let refused = loop {
        let tag = Tag::new(&format!("{:0128}", names.next().unwrap())).unwrap();
        if let Err(error) = layout.set_tag(&long, &tag, &document) {
            break error;
        }
    };
    assert!(refused.class == Kind::Refused && refused.what.contains("index.json"), "{refused:?}");
    assert!((60_000..80_000).contains(&names.next().unwrap()));
}
