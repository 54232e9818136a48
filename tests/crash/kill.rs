//! Rows P1, P2, X1 and X5: a run is killed, or told that the medium fails or is full, at every
//! system call of a kind, in turn. Anything with a final name verifies; the same command then
//! completes the work.

use super::shelf::{Image, noise};
use super::strace::injected;
use super::world::{command, dir, finals, fresh, layout, packmule, stride, text, var};

/// No run makes more calls of a kind in one thread.
const MOST: usize = 60;

fn small(test: &str) {
    drop(fresh(test));
    layout(&format!("{test}/source"), &[Image::new(vec![noise(70, 90_000), noise(71, 80_000)])]);
    std::fs::create_dir_all(dir().join(format!("{test}/calm"))).unwrap();
    let (source, out) = (format!("oci:{test}/source"), format!("{test}/calm/b"));
    packmule(&["export", &source, "-o", &out, "--sign", "k.pem", "-j", "2"], 0);
}

fn export_survives(test: &str, what: &str, calls: &[(&str, usize)]) {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    small(test);
    let read = |name: &str, end: &str| std::fs::read(dir().join(format!("{name}{end}"))).unwrap();
    let (source, out, calm) = (format!("oci:{test}/source"), format!("{test}/b"), format!("{test}/calm/b"));
    let args = ["export", &source, "-o", &out, "--sign", "k.pem", "-j", "2"];
    let check = || packmule(&["verify", &out, "--key", "k.pub.pem"], 0);
    let mut hit = 0;
    for &(call, step) in calls {
        let mut last = None;
        for nth in (1..MOST).step_by(stride(step)) {
            for file in finals(&out) {
                std::fs::remove_file(dir().join(test).join(file)).unwrap();
            }
            let (code, told) = injected(&strace, call, what, nth, &args);
            let place = format!("{call} {nth} {what}: {code:?} {told}");
            let left = finals(&out);
            let is_bundle = left.iter().any(|file| file == "b.json");
            if code == Some(0) {
                check();
                last = Some(nth);
                break;
            }
            hit += 1;
            if what.starts_with("error") {
                // Failing to load a library is the loader's error.
                assert!(code == Some(22) || code == Some(2) || code == Some(127) || code == Some(1), "{place}");
                if code == Some(22) {
                    assert!(told.contains("error: ") && told.contains("\nhelp: "), "{place}");
                }
                // Everything was done before the output failed.
                if code == Some(22) && !told.starts_with("error: standard output") {
                    assert!(!is_bundle && left.iter().all(|file| file == "b.lock"), "{place}: {left:?}");
                }
            }
            if is_bundle {
                // A final name means that the bundle is complete, even here; only unfinished files
                // may be left.
                check();
            } else {
                packmule(&args, 0);
                check();
            }
            assert!(read(&out, ".0001.tar.zst") == read(&calm, ".0001.tar.zst"), "{place}");
            assert_eq!(read(&out, ".json"), read(&calm, ".json"), "{place}");
        }
        assert!(last.is_some() || step > 1, "{call}: no end within {MOST}");
    }
    assert!(hit > 5, "only {hit} times");
}

#[test]
fn p1_an_export_killed_at_any_call_leaves_nothing_wrong() {
    let calls = [("/^rename", 1), ("fsync", 1), ("/^unlink", 1), ("ftruncate", 1), ("write", 2), ("openat", 5)];
    export_survives("killed-at", "signal=KILL", &calls);
}

#[test]
fn x5_an_export_whose_medium_fails_once_says_so_and_leaves_nothing() {
    export_survives("fails-at", "error=EIO", &[("/^rename", 1), ("fsync", 1)]);
}

#[test]
fn x1_an_export_that_finds_the_disk_full_at_any_call_leaves_nothing() {
    export_survives("full-at", "error=ENOSPC", &[("/^rename", 1), ("fsync", 1), ("writev", 1), ("write", 1)]);
}

#[test]
fn p2_an_unpack_killed_at_any_call_leaves_nothing_wrong() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    small("unpack-at");
    let folder = dir().join("unpack-at/l");
    let mut hit = 0;
    for (call, step) in [("/^rename", 1), ("fsync", 1), ("syncfs", 1), ("/^mkdir", 1), ("openat", 7)] {
        for nth in (1..MOST).step_by(stride(step)) {
            drop(std::fs::remove_dir_all(&folder));
            let args = ["unpack", "unpack-at/calm/b", "--key", "k.pub.pem", "unpack-at/l"];
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            if code == Some(0) {
                break;
            }
            hit += 1;
            assert_eq!(code, None, "{call} {nth}: {told}");
            // Any file named by a digest has that content.
            for entry in std::fs::read_dir(folder.join("blobs/sha256")).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let own = super::world::sha256(&std::fs::read(&path).unwrap());
                assert!(name.starts_with(".partial-") || own == format!("sha256:{name}"), "{call} {nth}: {name}");
            }
            packmule(&args, 0);
            let again = command(&["export", "oci:unpack-at/l", "--dry-run"]).output().unwrap();
            assert!(again.status.success(), "{call} {nth}: {}", text(&again.stderr));
        }
    }
    assert!(hit > 5, "only {hit} times");
}

/// Links bundle files of `from` under another name: fast, since they are never written again.
fn link(from: &str, to: &str) {
    let (from, to) = (dir().join(from), dir().join(to));
    drop(std::fs::remove_dir_all(&to));
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::hard_link(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn p1_a_replacement_killed_at_any_call_is_the_old_the_new_or_none() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    small("replaced");
    layout("replaced/large", &[Image::new((80..90).map(|seed| noise(seed, 4 << 20)).collect())]);
    std::fs::create_dir_all(dir().join("replaced/old")).unwrap();
    // The old bundle has two volumes, the new one has one.
    let old = ["export", "oci:replaced/large", "-o", "replaced/old/b", "--sign", "k.pem", "--volume-size", "32MiB"];
    packmule(&old, 0);
    assert!(dir().join("replaced/old/b.0002.tar.zst").exists());
    let plain = ["export", "oci:replaced/source", "-o", "replaced/now/b", "--sign", "k.pem", "-j", "2"];
    let args = [&plain[..], &["--overwrite"]].concat();
    let read = |name: &str| std::fs::read(dir().join("replaced").join(name)).unwrap();
    let (was, becomes) = (read("old/b.json"), read("calm/b.json"));
    let mut seen = [0; 3];
    for (call, step) in [("/^rename", 1), ("/^unlink", 1), ("fsync", 1), ("openat", 9)] {
        for nth in (1..MOST).step_by(stride(step)) {
            link("replaced/old", "replaced/now");
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            if code == Some(0) {
                break;
            }
            let place = format!("{call} {nth}: {told}");
            assert_eq!(code, None, "{place}");
            let is_bundle = dir().join("replaced/now/b.json").exists();
            if is_bundle {
                packmule(&["verify", "replaced/now/b", "--key", "k.pub.pem"], 0);
                let found = read("now/b.json");
                assert!(found == was || found == becomes, "{place}");
                seen[usize::from(found == was)] += 1;
            } else {
                seen[2] += 1;
            }
            // If the old bundle is gone, `--overwrite` is no longer needed.
            packmule(if is_bundle || nth % 2 == 0 { &args } else { &plain }, 0);
            packmule(&["verify", "replaced/now/b", "--key", "k.pub.pem"], 0);
            assert!(read("now/b.json") == becomes && !dir().join("replaced/now/b.0002.tar.zst").exists(), "{place}");
        }
    }
    assert!(seen[1] > 3 && seen[2] > 3, "{seen:?}");
}

#[test]
fn x2_a_medium_that_cannot_be_read_is_told_with_volume_and_offset() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    small("unread");
    let shelf = super::shelf::Shelf::plain(&[]);
    let mut offsets = 0;
    for args in [
        &["verify", "unread/calm/b", "--key", "k.pub.pem", "-j", "1"][..],
        &["import", "unread/calm/b", "--key", "k.pub.pem", "--to", shelf.host(), "-j", "1"],
        &["unpack", "unread/calm/b", "--key", "k.pub.pem", "unread/l", "-j", "1"],
    ] {
        for nth in 1..MOST {
            let (code, told) = injected(&strace, "pread64", "error=EIO", nth, args);
            if code == Some(0) {
                assert!(nth > 2, "{args:?}: nothing was read");
                break;
            }
            // The loader also reads libraries this way.
            if code == Some(127) {
                continue;
            }
            assert_eq!(code, Some(22), "{args:?} {nth}: {told}");
            assert!(told.contains("Input/output error") && told.contains("\nhelp: "), "{args:?} {nth}: {told}");
            // Small files are read whole; of a volume, the offset counts.
            let is_small = told.contains("/b.json: ") || told.contains("/b.sig.json: ");
            let of_volume = told.contains("b.0001.tar.zst") && told.contains("offset");
            assert!(is_small != of_volume, "{args:?} {nth}: {told}");
            let done = match args[0] {
                "import" => shelf.holds("a/b/manifests/1"),
                _ => dir().join("unread/l/index.json").exists(),
            };
            assert!(!done, "{args:?} {nth}");
            offsets += u32::from(of_volume);
        }
    }
    assert!(offsets > 5, "only {offsets} reads failed");
    assert!(shelf.holds("a/b/manifests/1"));
}
