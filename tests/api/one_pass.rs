//! Imports that read once: a stream, and volumes on changing media; and verifying the latter.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use packmule::cli::run;
use packmule::cli::world::World;

use crate::{Bundle, Ended, noise, packmule, stream_of};

/// Runs packmule with a stream on standard input.
fn piped(dir: &Path, args: &[&str], input: impl Read + Send + 'static) -> Ended {
    let (mut world, stdout, stderr) = World::for_test(args, dir);
    world.stdin = Box::new(input);
    let code = run(&mut world);
    Ended { code, stdout: stdout.text(), stderr: stderr.text() }
}

const IMPORT: [&str; 6] = ["import", "-", "--key", "1.pub.pem", "--to", "oci:site"];

/// Small blobs, blobs of one frame, and some of several frames.
fn layers() -> Vec<Vec<u8>> {
    let mut layers = vec![noise(1, 34 << 20), noise(2, 300_000), b"high water\n".repeat(2_000_000)];
    layers.extend((10..30).map(|seed| noise(seed, 3000)));
    layers
}

fn same(one: &Path, other: &Path) {
    let list = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(list(one), list(other));
    for name in list(one) {
        let read = |dir: &Path| fs::read(dir.join("blobs/sha256").join(&name)).unwrap();
        assert!(read(one) == read(other), "{}", name.display());
    }
}

#[test]
fn an_import_from_a_stream_is_one_from_files() {
    let bundle = Bundle::new(&layers(), &["--volume-size", "32MiB"], &[1]);
    let root = bundle.root.path();
    let stream = stream_of(&bundle);
    let dry = piped(root, &[&IMPORT[..], &["--dry-run"]].concat(), Cursor::new(stream.clone()));
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!root.join("site").exists(), "--dry-run writes nothing");
    let ended = piped(root, &IMPORT, Cursor::new(stream.clone()));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let args = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:files"];
    assert_eq!(packmule(root, &args).code, 0);
    same(&root.join("site"), &root.join("files"));
    assert_eq!(fs::read(root.join("site/index.json")).unwrap(), fs::read(root.join("files/index.json")).unwrap());
    // Existing content is not sent again, but everything is still checked.
    let again = piped(root, &IMPORT, Cursor::new(stream.clone()));
    assert!(again.code == 0 && again.stdout.contains(" 0 blobs sent"), "{}", again.stdout);
    let mut flipped = stream;
    let at = flipped.len() - 2000;
    flipped[at] ^= 1;
    assert_eq!(piped(root, &IMPORT, Cursor::new(flipped)).code, 11);
}

#[test]
fn d12_a_stream_that_is_not_whole_tags_nothing() {
    let bundle = Bundle::new(&[noise(1, 20 << 20), noise(2, 300_000)], &["--level", "0"], &[1]);
    let root = bundle.root.path();
    let stream = stream_of(&bundle);
    let length = stream.len();
    let mut cases: Vec<(String, Vec<u8>, u8)> = Vec::new();
    for cut in
        [100, 1000, 1500, 3000, length / 3, length / 2, length - 400_000, length - 1025, length - 1024, length - 1]
    {
        cases.push((format!("cut to {cut}"), stream[..cut].to_vec(), if cut < 2500 { 10 } else { 11 }));
    }
    for at in [6000, length / 2, length - 200_000, length - 3000, length - 1] {
        let mut flipped = stream.clone();
        flipped[at] ^= 4;
        cases.push((format!("byte {at}"), flipped, 11));
    }
    cases.push(("longer".to_owned(), [&stream[..], b"\0"].concat(), 10));
    for (what, bytes, code) in cases {
        let ended = piped(root, &IMPORT, Cursor::new(bytes));
        assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
        let index = fs::read_to_string(root.join("site/index.json")).unwrap_or_default();
        assert!(!index.contains("tide"), "{what}: {index}");
    }
    // Once the cause is fixed, the same command succeeds.
    assert_eq!(piped(root, &IMPORT, Cursor::new(stream)).code, 0);
    assert!(fs::read_to_string(root.join("site/index.json")).unwrap().contains("tide"));
}

#[test]
fn what_stands_in_the_way_is_told_before_the_first_push() {
    let bundle = Bundle::new(&[noise(1, 20 << 20)], &["--level", "0"], &[1]);
    let root = bundle.root.path();
    let stream = stream_of(&bundle);
    assert_eq!(piped(root, &IMPORT, Cursor::new(stream.clone())).code, 0);
    let other = Bundle::new(&[noise(2, 20 << 20)], &["--level", "0"], &[1]);
    let refused = piped(root, &IMPORT, Cursor::new(stream_of(&other)));
    assert!(refused.code == 15 && refused.stderr.contains("tag exists"), "{}", refused.stderr);
    let blobs = fs::read_dir(root.join("site/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 3, "nothing was pushed");
    assert_eq!(piped(root, &["import", "-", "--to", "oci:site"], Cursor::new(stream)).code, 2, "without trust");
}

/// Moves each volume of a bundle to its own medium.
fn media(bundle: &Bundle) -> usize {
    let mut count = 0;
    while bundle.path(&format!("b.{:04}.tar.zst", count + 1)).exists() {
        count += 1;
        let medium = bundle.root.path().join(format!("medium{count}"));
        fs::create_dir(&medium).unwrap();
        let file = format!("b.{count:04}.tar.zst");
        fs::rename(bundle.path(&file), medium.join(&file)).unwrap();
    }
    count
}

#[test]
fn volumes_on_several_media_at_once() {
    let bundle = Bundle::new(&[noise(1, 80 << 20)], &["--level", "0", "--volume-size", "40MiB"], &[1]);
    let root = bundle.root.path();
    assert_eq!(media(&bundle), 3);
    let verify = ["verify", "usb/b", "--key", "1.pub.pem"];
    let lacks = packmule(root, &verify);
    assert_eq!(lacks.code, 11);
    for number in 1..=3 {
        assert!(lacks.stderr.contains(&format!("need volume {number} of bundle")), "{}", lacks.stderr);
    }
    assert!(lacks.stderr.contains("--volume-dir"), "{}", lacks.stderr);
    let dirs = ["--volume-dir", "medium3", "--volume-dir", "medium1", "--volume-dir", "medium2"];
    let whole = packmule(root, &[&verify[..], &dirs].concat());
    assert!(whole.code == 0 && whole.stdout.starts_with("PASS"), "{}", whole.stderr);
    let import = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"];
    assert_eq!(packmule(root, &[&import[..], &dirs].concat()).code, 0);
    for number in ["1", "2", "3"] {
        let dir = format!("medium{number}");
        let part = packmule(root, &[&verify[..], &["--volume", number, "--volume-dir", &dir]].concat());
        assert!(part.code == 0 && part.stdout.starts_with("PART"), "{}", part.stderr);
        let lacks = packmule(root, &[&verify[..], &["--volume", number]].concat());
        assert_eq!(lacks.code, 11);
    }
    // A volume that does not belong to this bundle, on any medium; a missing directory.
    fs::write(root.join("medium2/b.0009.tar.zst"), b"x").unwrap();
    let extra = packmule(root, &[&verify[..], &dirs].concat());
    assert!(extra.code == 11 && extra.stderr.contains("extra"), "{}", extra.stderr);
    assert_eq!(packmule(root, &[&verify[..], &["--volume-dir", "nowhere"]].concat()).code, 11);
    fs::remove_file(root.join("medium2/b.0009.tar.zst")).unwrap();
    assert_eq!(packmule(root, &[&verify[..], &dirs, &["--volume-dir", "nowhere"]].concat()).code, 22);
}

/// Runs packmule at a terminal where media are changed as requested, until there are no more.
fn changing(bundle: &Bundle, args: &[&str], up_to: usize) -> (Ended, Vec<String>) {
    let (world, stdout, stderr) = World::for_test(args, bundle.root.path());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (root, dir, told) = (bundle.root.path().to_owned(), bundle.dir(), Arc::clone(&asked));
    let mut world = world.with_prompt(move |text| {
        let mut told = told.lock().unwrap();
        told.push(text.to_owned());
        // The first medium inserted is the wrong one.
        let number = told.len().saturating_sub(1).max(1);
        if number > up_to {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        for volume in 1..=9 {
            let file = format!("b.{volume:04}.tar.zst");
            let _ = fs::remove_file(dir.join(&file));
            let wanted = if told.len() == 1 { 2 } else { number };
            if volume == wanted {
                fs::copy(root.join(format!("medium{volume}")).join(&file), dir.join(&file)).unwrap();
            }
        }
        Ok(String::new())
    });
    world.terminal.stderr = true;
    world.cores = 2;
    let code = run(&mut world);
    let asked = asked.lock().unwrap().clone();
    (Ended { code, stdout: stdout.text(), stderr: stderr.text() }, asked)
}

#[test]
fn volumes_on_media_changed_in_one_drive() {
    let bundle = Bundle::new(&[noise(1, 80 << 20)], &["--level", "0", "--volume-size", "40MiB"], &[1]);
    assert_eq!(media(&bundle), 3);
    let (ended, asked) = changing(&bundle, &["verify", "usb/b", "--key", "1.pub.pem", "--volume-dir", "usb"], 3);
    assert!(ended.code == 0 && ended.stdout.starts_with("PASS"), "{}", ended.stderr);
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[0].contains("need volume 1 of bundle sha256:") && asked[3].contains("need volume 3"), "{asked:?}");
    // If there are no more media, the missing volume is named.
    for volume in 1..=3 {
        let _ = fs::remove_file(bundle.path(&format!("b.{volume:04}.tar.zst")));
    }
    let (ended, _) = changing(&bundle, &["verify", "usb/b", "--key", "1.pub.pem", "--volume-dir", "usb"], 2);
    assert!(ended.code == 11 && ended.stderr.contains("need volume 3 of bundle"), "{}", ended.stderr);
    // Files on the first medium count even when the drive then holds others.
    for volume in 1..=3 {
        let _ = fs::remove_file(bundle.path(&format!("b.{volume:04}.tar.zst")));
    }
    fs::copy(bundle.root.path().join("medium1/b.0001.tar.zst"), bundle.path("b.0001.tar.zst")).unwrap();
    fs::write(bundle.path("b.0009.tar.zst"), b"x").unwrap();
    let (ended, _) = changing(&bundle, &["verify", "usb/b", "--key", "1.pub.pem", "--volume-dir", "usb"], 3);
    assert!(ended.code == 11 && ended.stderr.contains("extra"), "{}", ended.stderr);
    for volume in 1..=3 {
        let _ = fs::remove_file(bundle.path(&format!("b.{volume:04}.tar.zst")));
    }
    let (ended, asked) = changing(&bundle, &["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"], 3);
    assert_eq!(ended.code, 0, "{} {asked:?}", ended.stderr);
    let blobs = fs::read_dir(bundle.root.path().join("site/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 3);
}
