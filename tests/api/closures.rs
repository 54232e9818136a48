//! Random closures: what is written is what is read, in every form, and the bytes depend neither on
//! the number of jobs nor on interruptions.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use packmule::base::fault::Class;
use packmule::bundle::format::manifest::Form;
use packmule::bundle::time::Moment;
use packmule::bundle::write::read_back;
use packmule::bundle::{Manifest, Name, Output, Trusted, open, stream};
use packmule::content::Source as _;
use packmule::decide::select::{Selection, Wanted};
use packmule::flow::Flow;
use packmule::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use packmule::oci::{Algorithm, Descriptor, Digest};
use packmule::operate::export::{self, Manner, Settings};
use packmule::operate::verify::{Request, Scope};
use packmule::signing::Policy;
use proptest::prelude::*;
use serde_json::json;

use crate::store::{Memory, SIGN_1, flow, fused, prose, tree};
use crate::{key, noise};

/// A leaf of `size` bytes.
#[derive(Clone, Debug)]
struct Leaf {
    size: usize,
    packs: bool,
    long: bool,
    is_gzip: bool,
}

/// An image of some of the leaves, which others may share, with tags.
#[derive(Clone, Debug)]
struct Image {
    leaves: Vec<usize>,
    tags: usize,
    // Also selected by its digest alone.
    pinned: bool,
}

/// The content of a bundle, and how it is written.
#[derive(Clone, Debug)]
struct Case {
    leaves: Vec<Leaf>,
    images: Vec<Image>,
    // Number of images that are also in an index.
    listed: usize,
    level: i32,
    form: Form,
    ranged: bool,
    jobs: (usize, usize),
    // Shares of the content, in thousandths, after which a run is interrupted.
    cuts: Vec<u64>,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..4_usize,
        4 => 509..516_usize,
        4 => 0..6000_usize,
        3 => 65_534..65_539_usize,
        2 => 131_070..131_075_usize,
        2 => 60_000..400_000_usize,
        1 => (16 << 20) - 515..(16 << 20) + 3_usize,
    ]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    (size(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(size, packs, long, is_gzip)| Leaf {
        size,
        packs,
        long,
        is_gzip,
    })
}

fn image() -> impl Strategy<Value = Image> {
    (prop::collection::vec(0..12_usize, 0..5), 0..3_usize, any::<bool>()).prop_map(|(leaves, tags, pinned)| Image {
        leaves,
        tags,
        pinned: pinned || tags == 0,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let content = (prop::collection::vec(leaf(), 1..8), prop::collection::vec(image(), 1..5), 0..4_usize);
    let form = prop_oneof![3 => Just(Form::Volumes), 1 => Just(Form::Flat)];
    let manner = (prop_oneof![Just(0), Just(1), Just(9)], form, any::<bool>(), (1..9_usize, 1..9_usize));
    (content, manner, prop::collection::vec(0..1000_u64, 1..4)).prop_map(
        |((leaves, images, listed), (level, form, ranged, jobs), cuts)| Case {
            leaves,
            images,
            listed,
            level,
            form,
            ranged,
            jobs,
            cuts,
        },
    )
}

impl Case {
    /// The source, and the selection from it.
    fn source(&self) -> (Memory, Selection) {
        let mut memory = Memory { ranged: self.ranged, ..Memory::default() };
        let leaves: Vec<Descriptor> = self
            .leaves
            .iter()
            .zip(0..)
            .map(|(leaf, seed)| {
                let content = if leaf.packs { prose(leaf.size) } else { noise(seed, leaf.size) };
                let algorithm = if leaf.long { Algorithm::Sha512 } else { Algorithm::Sha256 };
                let media_type = if leaf.is_gzip { OCI_LAYER_GZIP } else { "application/octet-stream" };
                memory.add(algorithm, media_type, content)
            })
            .collect();
        let mut wanted: Vec<String> = Vec::new();
        let mut children = Vec::new();
        for (image, number) in self.images.iter().zip(0..) {
            let config = json!({ "os": "linux", "architecture": "amd64", "author": format!("image {number}") });
            let config = memory.add(Algorithm::Sha256, OCI_CONFIG, config.to_string().into_bytes());
            let layers: Vec<&Descriptor> = image.leaves.iter().map(|&leaf| &leaves[leaf % leaves.len()]).collect();
            let document = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
            let document = memory.add(Algorithm::Sha256, OCI_MANIFEST, document.to_string().into_bytes());
            let mut name = |text: String| {
                memory.names.insert(text.clone(), document.clone());
                wanted.push(text);
            };
            (0..image.tags).for_each(|tag| name(format!("localhost/image{}:{tag}", number % 3 * 10 + number)));
            if image.pinned {
                name(format!("localhost/image{}@{}", number % 3, document.digest));
            }
            children.push(document);
        }
        children.truncate(self.listed);
        if !children.is_empty() {
            let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
            let index = memory.add(Algorithm::Sha256, OCI_INDEX, index.to_string().into_bytes());
            memory.names.insert("localhost/index:all".to_owned(), index);
            wanted.push("localhost/index:all".to_owned());
        }
        let wanted = wanted.iter().map(|text| Wanted::new(text.parse().unwrap())).collect();
        (memory, Selection { wanted, ..Selection::default() })
    }

    /// Exports into `dir`.
    fn export(&self, flow: &Flow, memory: &Memory, selection: &Selection, dir: &Path) -> Result<(), Class> {
        let output = Output::open(dir, &Name::new("any").unwrap(), false).unwrap();
        let created = Moment::from_unix(1_700_000_000).unwrap();
        let settings = Settings {
            level: self.level,
            ..Settings::new(created, "packmule 0.1.0".to_owned(), "any closure".to_owned())
        };
        let input = match export::pending(flow, &output, &settings).unwrap() {
            Some(input) => input,
            // Planning is not interrupted, only writing.
            None => {
                let plan = packmule::decide::plan::make(&crate::flow(), memory, selection).unwrap();
                export::input(&output, plan, &settings).unwrap()
            }
        };
        let manner = Manner { leave_out: false, form: self.form };
        export::run(flow, memory, &output, &input, SIGN_1, Some(&read_back::read_back), manner)
            .map(drop)
            .map_err(|fault| fault.class)
    }
}

/// Checks that an importer gets exactly what was put in, and all that the manifest lists.
fn is_identity(bundle: &Trusted, memory: &Memory, selection: &Selection) {
    for wanted in &selection.wanted {
        let put = memory.resolve(&wanted.reference).unwrap();
        assert_eq!(bundle.resolve(&wanted.reference).unwrap().digest, put.digest, "{}", wanted.reference);
    }
    let repository = &selection.wanted[0].reference.repository;
    for blob in &bundle.manifest().blobs {
        let mut content = Vec::new();
        let descriptor = Descriptor::new("any/type", blob.digest, blob.size);
        bundle.blob(repository, &descriptor).unwrap().read_to_end(&mut content).unwrap();
        assert!(content == memory.blobs[&blob.digest], "{}", blob.digest);
    }
}

/// Returns the digests of everything that the selection reaches, without the program's own walk.
fn reached(memory: &Memory, selection: &Selection) -> HashMap<Digest, u64> {
    let mut all = HashMap::new();
    let mut open: Vec<Descriptor> =
        selection.wanted.iter().map(|wanted| memory.resolve(&wanted.reference).unwrap()).collect();
    while let Some(descriptor) = open.pop() {
        all.insert(descriptor.digest, descriptor.size);
        if [OCI_MANIFEST, OCI_INDEX].contains(&&*descriptor.media_type) {
            let document: serde_json::Value = serde_json::from_slice(&memory.blobs[&descriptor.digest]).unwrap();
            let lists = ["manifests", "layers"].iter().filter_map(|list| document[list].as_array()).flatten();
            for below in lists.chain(document.get("config")) {
                open.push(Descriptor::new(
                    below["mediaType"].as_str().unwrap(),
                    below["digest"].as_str().unwrap().parse().unwrap(),
                    below["size"].as_u64().unwrap(),
                ));
            }
        }
    }
    all
}

fn holds(case: &Case) {
    let (memory, selection) = case.source();
    let dir = tempfile::tempdir().unwrap();
    case.export(&flow(case.jobs.0), &memory, &selection, dir.path()).unwrap();
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    let scope = Scope::default();
    let path = dir.path().join("any.json");
    let verdict = packmule::operate::verify::run(&crate::flow(), Request::new(open(&path).unwrap(), &policy, &scope));
    assert!(verdict.is_good(), "{:?}", verdict.fault);
    let bundle = verdict.bundle.unwrap();
    is_identity(&bundle, &memory, &selection);
    let manifest = Manifest::parse(&std::fs::read(&path).unwrap()).unwrap();
    let listed: HashMap<Digest, u64> = manifest.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
    assert_eq!(listed, reached(&memory, &selection));
    assert_eq!(listed.len(), manifest.blobs.len(), "each once");
    if case.form == Form::Volumes {
        let mut bytes = Vec::new();
        stream::write(&open(&path).unwrap(), &crate::flow(), &mut bytes).unwrap();
        let opened = stream::open(Box::new(std::io::Cursor::new(bytes)), &crate::flow()).unwrap();
        let passed = packmule::operate::verify::run(&crate::flow(), Request::new(opened, &policy, &scope));
        assert!(passed.is_good(), "{:?}", passed.fault);
        assert_eq!(passed.tally, verdict.tally);
    }

    // Again with another number of jobs, interrupted at each cut, then to the end.
    let again = tempfile::tempdir().unwrap();
    let total: u64 = listed.values().sum();
    for cut in &case.cuts {
        match case.export(&fused(case.jobs.1, 1 + total * cut / 1000), &memory, &selection, again.path()) {
            Err(class) => assert_eq!(class, Class::Cancelled),
            Ok(()) => break,
        }
        for name in tree(again.path()).keys() {
            assert!(name.contains(".partial"), "{name} has its final name");
        }
    }
    if !again.path().join("any.json").exists() {
        case.export(&flow(case.jobs.1), &memory, &selection, again.path()).unwrap();
    }
    assert!(tree(again.path()) == tree(dir.path()), "other bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read_and_always_the_same(case in case()) {
        holds(&case);
    }
}
