//! Row S20: a medium or memory that returns other bytes than were written.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use packmule::base::fault::Class;
use packmule::bundle::format::manifest::Form;
use packmule::bundle::time::Moment;
use packmule::bundle::write::ReadBack;
use packmule::bundle::write::read_back;
use packmule::bundle::write::{Options, write};
use packmule::bundle::{Error, Manifest, Name, Output};
use packmule::content::volumes::Volumes;
use packmule::decide::select::{Selection, Wanted};
use packmule::flow::{FixedClock, Flow, Silent};
use packmule::layout::Layout;
use packmule::oci::Reference;
use packmule::operate::export::{Manner, Settings};

use super::store::{SIGN, artifact};
use super::{flow, make_layout, noise};

/// Flips a bit of the largest file below `dir`.
fn flip(dir: &Path) {
    let mut folders = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    let (length, path) = files.into_iter().max().unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, length / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], length / 2).unwrap();
}

#[test]
fn s20_a_read_back_that_finds_other_bytes_names_and_signs_nothing() {
    for form in [Form::Volumes, Form::Flat] {
        let root = tempfile::tempdir().unwrap();
        make_layout(&root.path().join("source"), &[noise(1, 700_000)]);
        let usb = root.path().join("usb");
        fs::create_dir(&usb).unwrap();
        let layout = Layout::open(&root.path().join("source")).unwrap();
        let reference: Reference = "example.org/tide:1".parse().unwrap();
        let selection = Selection { wanted: vec![Wanted::new(reference)], ..Selection::default() };
        let settings = Settings::new(Moment::from_unix(0).unwrap(), "packmule 0.1.0".to_owned(), "request".to_owned());
        let run = |read_back: &ReadBack<'_>, signed: &(dyn Fn() + Sync)| {
            let output = Output::open(&usb, &Name::new("b").unwrap(), false).unwrap();
            let plan = packmule::decide::plan::make(&flow(), &layout, &selection).unwrap();
            let input = packmule::operate::export::input(&output, plan, &settings).unwrap();
            let sign = |_: &[u8]| {
                signed();
                Ok(b"{}".to_vec())
            };
            let manner = Manner { leave_out: false, form };
            packmule::operate::export::run(&flow(), &layout, &output, &input, &sign, Some(read_back), manner)
        };
        let bad = |place: Arc<dyn Volumes>, manifest: &Manifest, sums: &[u64], flow: &Flow| -> Result<(), Error> {
            flip(&usb);
            read_back::read_back(place, manifest, sums, flow)
        };
        let fault = run(&bad, &|| panic!("signed")).unwrap_err();
        assert!(matches!(fault.class, Class::Io | Class::Integrity), "{form:?}: {fault:?}");
        let names: Vec<_> = fs::read_dir(&usb).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            names.iter().all(|name| name.to_string_lossy().contains(".partial") || name == "b.lock"),
            "{form:?}: {names:?}"
        );
        // Once memory and medium are fixed, the same command succeeds.
        run(&read_back::read_back, &|| {}).unwrap();
        assert!(usb.join("b.json").is_file());
    }
}

/// One thread reads all volumes, one run after the other.
#[test]
fn all_volumes_are_read_back_by_one_thread() {
    let blobs = vec![
        (b"{}".to_vec(), false, "a/b"),
        (vec![1; 31 << 20], false, "a/b"),
        (vec![2; 31 << 20], false, "a/b"),
        (vec![3; 31 << 20], false, "a/b"),
    ];
    let (memory, mut input) = artifact("b", blobs, 32 << 20);
    input.level = 0;
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &input.name, false).unwrap();
    let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1);
    let options = Options { sign: SIGN, read_back: Some(&read_back::read_back), leave_out: false };
    let written = write(&flow, &memory, &output, &input, options).unwrap();
    assert_eq!(written.manifest.volumes.len(), 3);
}
