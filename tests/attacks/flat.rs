//! Form flat, rows B2 to B4, B14 and B17: written, read, truncated, flipped, with missing and extra
//! files.

use std::fs;
use std::path::{Path, PathBuf};

use packmule::base::fault::Class;
use packmule::bundle::write::Sign;
use packmule::bundle::write::{Input, Options, Written};
use packmule::bundle::write::{flat, read_back};
use packmule::bundle::{Error, Output};
use packmule::flow::Flow;
use packmule::oci::Reason;
use packmule::operate::verify::Scope;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::store::{self, Memory, SIGN_1, artifact, fused, tree};
use crate::{Bundle, assert_class, noise, packmule, verdict};

fn flat(layers: &[Vec<u8>]) -> Bundle {
    Bundle::new(layers, &["--flat"], &[1])
}

fn small() -> Bundle {
    flat(&[b"low water 00:01 and 12:15\n".repeat(3), Vec::new()])
}

/// Returns every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

#[test]
fn a_flat_bundle_is_a_layout_and_goes_where_one_in_volumes_goes() {
    let layers = [noise(1, 300_000), b"high water\n".repeat(900), Vec::new()];
    let (bundle, packed) = (flat(&layers), Bundle::new(&layers, &[], &[1]));
    let names: Vec<String> =
        fs::read_dir(bundle.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in ["b.json", "b.sig.json", "b.oci"] {
        assert!(names.iter().any(|own| own == name), "{names:?}");
    }
    // The same content as in the tar stream.
    let out = packed.root.path().join("tar");
    fs::create_dir(&out).unwrap();
    let untar = format!("zstd -dc usb/b.0001.tar.zst | tar x -C {}", out.display());
    let done = std::process::Command::new("sh").args(["-c", &untar]).current_dir(packed.root.path()).status().unwrap();
    assert!(done.success());
    let (ours, theirs) = (bundle.path("b.oci"), files(&out));
    assert_eq!(files(&ours).len(), theirs.len());
    for path in &theirs {
        let own = ours.join(path.strip_prefix(&out).unwrap());
        assert_eq!(fs::read(own).unwrap(), fs::read(path).unwrap(), "{}", path.display());
    }
    // It is also verified, inspected, unpacked and imported.
    let root = bundle.root.path();
    let tally = bundle.verdict().tally.unwrap();
    assert_eq!((tally.blobs, tally.members, tally.frames), (5, 7, 0));
    for args in [
        &["verify", "usb", "--key", "1.pub.pem"][..],
        &["inspect", "usb/b", "--check"],
        &["unpack", "usb/b", "out", "--key", "1.pub.pem"],
        &["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"],
    ] {
        let ended = packmule(root, args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
    }
    for path in files(&root.join("out/blobs")) {
        assert!(ours.join(path.strip_prefix(root.join("out")).unwrap()).is_file());
    }
    // It has no stream and no volumes.
    assert_eq!(packmule(root, &["cat", "usb/b"]).code, 2);
    assert_eq!(packmule(root, &["verify", "usb/b", "--key", "1.pub.pem", "--volume", "1"]).code, 2);
}

#[test]
fn b2_b3_b4_every_file_cut_flipped_and_lengthened() {
    let bundle = small();
    for path in files(&bundle.path("b.oci")) {
        let good = fs::read(&path).unwrap();
        let refused = |bytes: &[u8], what: String| {
            fs::write(&path, bytes).unwrap();
            let what = format!("{}: {what}", path.display());
            let fault = bundle.refusal(&what);
            assert_class(&fault, Class::Integrity, &what);
            assert!(fault.what.contains(path.file_name().unwrap().to_str().unwrap()), "{what}: {fault:?}");
        };
        for length in 0..good.len() {
            refused(&good[..length], format!("cut to {length}"));
        }
        for at in 0..good.len() {
            for bit in crate::bits(at) {
                let mut flipped = good.clone();
                flipped[at] ^= 1 << bit;
                refused(&flipped, format!("byte {at}, bit {bit}"));
            }
        }
        refused(&[&good[..], b"\0"].concat(), "a byte more".to_owned());
        fs::write(&path, &good).unwrap();
    }
    assert!(bundle.verdict().is_good(), "restored");
}

#[test]
fn b14_files_that_lack_and_files_that_are_more() {
    let bundle = small();
    let root = bundle.path("b.oci");
    for path in files(&root) {
        let aside = bundle.root.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        let fault = bundle.refusal("lacks");
        assert_class(&fault, Class::Integrity, "lacks");
        fs::rename(&aside, &path).unwrap();
    }
    for extra in ["more", "blobs/more", "blobs/sha256/more", "blobs/sha256/.partial", "oci-layout.bak"] {
        fs::write(root.join(extra), b"").unwrap();
        let fault = bundle.refusal(extra);
        assert_class(&fault, Class::Integrity, extra);
        assert!(fault.what.contains(extra) && fault.what.contains("extra"), "{fault:?}");
        fs::remove_file(root.join(extra)).unwrap();
    }
    for (extra, is_free) in [("blobs/sha512", true), ("blobs/md5", false), ("more", false)] {
        fs::create_dir(root.join(extra)).unwrap();
        assert_eq!(bundle.verdict().is_good(), is_free, "{extra}");
        fs::remove_dir(root.join(extra)).unwrap();
    }
    // A blob in its place that the manifest does not name, a volume, a list.
    let stray = packmule::oci::Digest::sha256(b"stray").hex();
    for (path, what) in [
        (root.join("blobs/sha256").join(stray), "stray"),
        (bundle.path("b.0001.tar.zst"), "volume"),
        (bundle.path("b.sha256"), "list"),
    ] {
        fs::write(&path, b"stray").unwrap();
        assert_class(&bundle.refusal(what), Class::Integrity, what);
        // An import checks this before its first push.
        let import = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"];
        assert_eq!(packmule(bundle.root.path(), &import).code, 11, "{what}");
        fs::remove_file(&path).unwrap();
    }
    fs::rename(&root, bundle.path("aside")).unwrap();
    assert_class(&bundle.refusal("no directory"), Class::Integrity, "no directory");
    fs::rename(bundle.path("aside"), &root).unwrap();
    assert!(bundle.verdict().is_good(), "restored");
}

#[test]
fn b17_links_and_special_files_are_not_followed() {
    let bundle = small();
    let root = bundle.path("b.oci");
    let mut places = files(&root);
    places.extend([root.clone(), root.join("blobs"), root.join("blobs/sha256")]);
    let aside = bundle.root.path().join("aside");
    for path in places {
        fs::rename(&path, &aside).unwrap();
        for kind in ["link", "fifo"] {
            if kind == "link" {
                std::os::unix::fs::symlink(&aside, &path).unwrap();
            } else {
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            }
            let what = format!("{} is a {kind}", path.display());
            let fault = bundle.refusal(&what);
            assert_class(&fault, Class::Io, &what);
            fs::remove_file(&path).unwrap();
        }
        fs::rename(&aside, &path).unwrap();
    }
    assert!(bundle.verdict().is_good(), "restored");
}

#[test]
fn an_export_goes_on_and_replaces() {
    let bundle = small();
    let root = bundle.root.path();
    // As left by a run that was killed after the first name was given.
    let export =
        |more: &[&str]| packmule(root, &[&["export", "oci:source", "-o", "usb/b", "--sign", "1.pem"], more].concat());
    assert_eq!(export(&["--flat"]).code, 2, "exists");
    for form in [&["--overwrite"][..], &["--overwrite", "--flat"], &["--overwrite", "--flat"]] {
        let ended = export(form);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(bundle.verdict().is_good(), "{form:?}");
        let is_flat = form.len() == 2;
        assert_eq!(bundle.path("b.oci").exists(), is_flat);
        assert_eq!(bundle.path("b.0001.tar.zst").exists(), !is_flat);
        assert!(!bundle.path("b.oci.partial").exists());
    }
}

#[test]
fn b14_many_foreign_entries_are_counted_and_not_all_named() {
    let bundle = small();
    let root = bundle.path("b.oci/blobs/sha256");
    for number in 0..350 {
        fs::write(root.join(format!("foreign{number:03}")), b"").unwrap();
    }
    let fault = bundle.refusal("many");
    assert_class(&fault, Class::Integrity, "many");
    let all: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|fault| fault.what.as_str()).collect();
    assert_eq!(all.len(), 101, "{all:?}");
    assert!((0..100).all(|number| all.iter().any(|what| what.contains(&format!("/foreign{number:03}: extra")))));
    assert!(all.iter().any(|what| what.contains(": 250 more entries are extra")), "{all:?}");
}

/// Name of a kind of damage, and how to apply it to a directory.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

/// A source in memory with blobs that pack, that do not, that are empty, and large ones.
fn source() -> (Memory, Input) {
    let blobs = [3000, 100_000, 700_001, 1 << 20, 3 << 20].into_iter().enumerate();
    let blobs = blobs.map(|(seed, size)| (noise(seed as u64, size), seed % 2 == 1, "a/noise"));
    artifact(
        "b",
        [(b"{}".to_vec(), false, "a/b"), (Vec::new(), false, "a/b")].into_iter().chain(blobs).collect(),
        1 << 30,
    )
}

fn write(flow: &Flow, dir: &Path, memory: &Memory, input: &Input, leave_out: bool) -> Result<Written, Error> {
    let output = Output::open(dir, &input.name, false)?;
    let options = Options { sign: SIGN_1, read_back: Some(&read_back::read_back), leave_out };
    flat::write(flow, memory, &output, input, options)
}

#[test]
fn p1_cancelled_or_killed_anywhere_it_goes_on_to_the_same_bytes() {
    let (memory, input) = source();
    let whole = tempfile::tempdir().unwrap();
    write(&store::flow(4), whole.path(), &memory, &input, false).unwrap();
    let expected = tree(whole.path());
    assert!(verdict(whole.path(), &Scope::default()).is_good());
    let total: u64 = input.blobs.iter().map(|blob| blob.descriptor.size).sum();
    for (jobs, share) in [(1, 0), (8, 0), (1, 20), (3, 50), (1, 80), (8, 99)] {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&fused(jobs, 1 + total * share / 100), dir.path(), &memory, &input, false).unwrap_err();
        assert_eq!(error.class, Class::Cancelled, "{error}");
        let left = tree(dir.path());
        assert!(left.keys().all(|file| file.contains(".partial")), "{:?}", left.keys());
        memory.asked.lock().unwrap().clear();
        write(&store::flow(2), dir.path(), &memory, &input, false).unwrap();
        assert!(tree(dir.path()) == expected, "{jobs} jobs, {share} %");
        // Complete blobs are not fetched again; an empty file proves nothing.
        for blob in input.blobs.iter().filter(|blob| blob.document.is_none() && blob.descriptor.size > 0) {
            let digest = blob.descriptor.digest;
            let path = format!("b.oci.partial/blobs/{}/{}", digest.algorithm().name(), digest.hex());
            assert_ne!(memory.asked.lock().unwrap().contains_key(&digest), left.contains_key(&path), "{path}");
        }
    }

    // Everything except the end, then what a kill or a failing disk may leave of it.
    let state = tempfile::tempdir().unwrap();
    let output = Output::open(state.path(), &input.name, false).unwrap();
    let refuse: &Sign<'_> = &|_: &[u8]| Err(Error::new(Class::Usage, "no key"));
    let options = Options { sign: refuse, read_back: None, leave_out: false };
    flat::write(&store::flow(4), &memory, &output, &input, options).unwrap_err();
    drop(output);
    let large = input.blobs.last().unwrap().descriptor.digest;
    let large = PathBuf::from(format!("b.oci.partial/blobs/{}/{}", large.algorithm().name(), large.hex()));
    let damages: [Damage<'_>; 7] = [
        ("a blob cut", &|dir| fs::write(dir.join(&large), b"half").unwrap()),
        ("a blob with a flipped byte", &|dir| {
            let mut bytes = fs::read(dir.join(&large)).unwrap();
            bytes[1 << 20] ^= 1;
            fs::write(dir.join(&large), bytes).unwrap();
        }),
        ("a blob half written", &|dir| {
            fs::rename(dir.join(&large), dir.join(&large).with_extension("partial")).unwrap();
        }),
        ("no blob", &|dir| fs::remove_file(dir.join(&large)).unwrap()),
        ("no index", &|dir| fs::remove_file(dir.join("b.oci.partial/index.json")).unwrap()),
        ("nothing but the plan", &|dir| fs::remove_dir_all(dir.join("b.oci.partial")).unwrap()),
        ("the last name but one given", &|dir| fs::rename(dir.join("b.oci.partial"), dir.join("b.oci")).unwrap()),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in tree(state.path()) {
            fs::create_dir_all(dir.path().join(&file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        damage(dir.path());
        write(&store::flow(4), dir.path(), &memory, &input, false).unwrap();
        assert!(tree(dir.path()) == expected, "{what}");
    }
}

#[test]
fn what_a_source_lost_is_left_out_where_that_is_allowed() {
    let (mut memory, input) = source();
    let (gone, wrong) = (input.blobs[4].descriptor.digest, input.blobs[6].descriptor.digest);
    memory.blobs.remove(&gone);
    memory.lies.lock().unwrap().insert(wrong, 2);
    let dir = tempfile::tempdir().unwrap();
    let error = write(&store::flow(1), dir.path(), &memory, &input, false).unwrap_err();
    assert_eq!(error.class, Class::Source, "{error}");
    memory.lies.lock().unwrap().insert(wrong, 2);
    let written = write(&store::flow(2), dir.path(), &memory, &input, true).unwrap();
    assert_eq!(written.left_out.len(), 2, "{:?}", written.left_out);
    let mut absent: Vec<_> = written.manifest.absent.iter().map(|absent| (absent.digest, absent.reason)).collect();
    absent.sort_by_key(|(digest, _)| *digest != gone);
    assert_eq!(absent, [(gone, Reason::Missing), (wrong, Reason::Missing)]);
    assert!(verdict(dir.path(), &Scope::default()).is_good());
}

#[test]
fn allow_partial_writes_a_flat_bundle_that_names_what_lacks() {
    let bundle = flat(&[noise(1, 5000), noise(2, 6000)]);
    let lost = packmule::oci::Digest::sha256(&noise(2, 6000));
    fs::remove_file(bundle.root.path().join("source/blobs/sha256").join(lost.hex())).unwrap();
    let export = |more: &[&str]| {
        packmule(
            bundle.root.path(),
            &[&["export", "oci:source", "-o", "usb/c", "--sign", "1.pem", "--flat"], more].concat(),
        )
    };
    assert_eq!(export(&[]).code, 20, "all or nothing, unless it is allowed");
    assert!(!bundle.path("c.json").exists() && !bundle.path("c.oci").exists());
    let ended = export(&["--allow-partial"]);
    assert_eq!(ended.code, 30, "{}", ended.stderr);
    assert!(ended.stderr.contains(&lost.to_string()), "{}", ended.stderr);
    let ended = packmule(bundle.root.path(), &["verify", "usb/c", "--key", "1.pub.pem"]);
    assert_eq!((ended.code, ended.stdout.starts_with("PASS")), (0, true), "{}", ended.stderr);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(bundle.path("c.json")).unwrap()).unwrap();
    assert_eq!(manifest["absent"][0]["digest"], lost.to_string());
    assert_eq!((manifest["absent"][0]["reason"].as_str(), manifest["form"].as_str()), (Some("missing"), Some("flat")));
    assert!(!bundle.path("c.oci/blobs/sha256").join(lost.hex()).exists());
}
