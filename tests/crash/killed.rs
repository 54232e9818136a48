//! Row P2 for commands that change a place: an import into a registry and a signing are killed at
//! every system call of a kind, in turn.

use super::shelf::{Image, Shelf, noise};
use super::strace::injected;
use super::world::{dir, fresh, layout, packmule, stride, var};

/// Makes a bundle of one image below `test`.
fn bundle(test: &str) -> (Image, String) {
    drop(fresh(test));
    let image = Image::new(vec![noise(60, 90_000), noise(61, 80_000)]);
    layout(&format!("{test}/source"), std::slice::from_ref(&image));
    let out = format!("{test}/b");
    packmule(&["export", &format!("oci:{test}/source"), "-o", &out, "--sign", "k.pem"], 0);
    (image, out)
}

#[test]
fn p2_an_import_killed_at_any_call_sets_no_tag_before_all_is_there() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let (image, out) = bundle("import-killed");
    let (mut hit, mut seen) = (0, [0; 2]);
    for (call, step) in [("connect", 1), ("sendto", 1), ("/^write", 2), ("/^recv", 2), ("openat", 9)] {
        let mut last = None;
        for nth in (1..80).step_by(stride(step)) {
            let shelf = Shelf::plain(&[]);
            let args = ["import", &out, "--key", "k.pub.pem", "--to", shelf.host(), "-j", "2"];
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            let tags: Vec<String> =
                shelf.manifests().into_iter().filter(|path| !path.contains("/manifests/sha256:")).collect();
            let is_whole = image.blobs.iter().all(|blob| {
                let digest = super::world::sha256(blob);
                tags.iter().all(|tag| {
                    let (repository, _) = tag.split_once("/manifests/").unwrap();
                    shelf.holds(&format!("{repository}/blobs/{digest}"))
                })
            });
            assert!(is_whole, "{call} {nth}: {tags:?}");
            if code == Some(0) {
                assert_eq!(tags.len(), 1);
                last = Some(nth);
                break;
            }
            hit += 1;
            assert_eq!(code, None, "{call} {nth}: {told}");
            seen[usize::from(!tags.is_empty())] += 1;
            // The same command completes the work.
            packmule(&args, 0);
            assert!(shelf.manifests().iter().any(|path| !path.contains("/manifests/sha256:")));
        }
        assert!(last.is_some() || step > 1, "{call}: no end");
    }
    assert!(hit > 10 && seen[0] > 5, "{hit} times: {seen:?}");
}

#[test]
fn p2_a_signing_killed_at_any_call_leaves_the_old_file_or_the_new_one() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let (_, out) = bundle("sign-killed");
    packmule(&["key", "new", "-o", "sign-killed/two.pem", "--no-passphrase"], 0);
    let file = dir().join("sign-killed/b.sig.json");
    let old = std::fs::read(&file).unwrap();
    let args = ["sign", &out, "--sign", "sign-killed/two.pem"];
    packmule(&args, 0);
    let new = std::fs::read(&file).unwrap();
    assert_ne!(old, new);
    let mut seen = [0; 2];
    for (call, step) in [("/^rename", 1), ("fsync", 1), ("write", 1), ("/^unlink", 1), ("openat", 4)] {
        for nth in (1..60).step_by(stride(step)) {
            std::fs::write(&file, &old).unwrap();
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            if code == Some(0) {
                break;
            }
            let place = format!("{call} {nth}: {told}");
            assert_eq!(code, None, "{place}");
            let found = std::fs::read(&file).unwrap();
            assert!(found == old || found == new, "{place}");
            seen[usize::from(found == new)] += 1;
            if found == old {
                packmule(&args, 0);
            }
            assert_eq!(std::fs::read(&file).unwrap(), new, "{place}");
            packmule(&["verify", &out, "--key", "k.pub.pem", "--key", "sign-killed/two.pub.pem"], 0);
        }
    }
    assert!(seen[0] > 2 && seen[1] > 0, "{seen:?}");
}
