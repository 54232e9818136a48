//! Full disks: at the start, in the middle, at the very end. A later run with enough room resumes,
//! and the result is the same to the byte.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::shelf::{Image, noise};
use super::world::{dir, fresh, layout, packmule, sandbox, text};

/// Runs the command that follows on a file system of `$1` bytes at disk/mnt, then again with room
/// if it failed. Its output and exit code go to `$2`.first, the list of files left to `$2`.files;
/// at the end the folder is copied to `$2`.
const TWICE: &str = r#"
    size=$1 to=$2; shift 2
    mkdir -p disk/mnt "$to" && mount -t tmpfs -o "size=$size" none disk/mnt || exit 90
    "$P" "$@" > "$to.first" 2>&1; echo "exit $?" >> "$to.first"
    find disk/mnt -type f > "$to.files"
    mount -o remount,size=256m disk/mnt || exit 91
    if ! grep -q "^exit 0$" "$to.first"; then
        "$P" "$@" > "$to.second" 2>&1 || { cat "$to.second" >&2; exit 92; }
    fi
    cp -r disk/mnt/. "$to"
"#;

/// The output of the first run under [`TWICE`], with its exit code last, and the files that it
/// left.
struct First {
    told: String,
    files: String,
}

impl First {
    fn is_full(&self) -> bool {
        let full = self.told.ends_with("exit 22\n");
        assert!(full || self.told.ends_with("exit 0\n"), "{}", self.told);
        if full {
            let error = self.told.lines().find(|line| line.starts_with("error: ")).expect("an error");
            assert!(self.told.contains("\nhelp: make room"), "{}", self.told);
            // Needed and free space.
            let known = error.contains("expected room for") || error.contains("bytes are free");
            assert!(known && error.split(|one: char| !one.is_ascii_digit()).any(|word| !word.is_empty()), "{error}");
        }
        full
    }
}

fn twice(size: u64, to: &str, args: &[&str]) -> Option<First> {
    let size = size.to_string();
    let ended = sandbox(TWICE, &[&[&size, to][..], args].concat())?;
    let read = |end: &str| std::fs::read_to_string(dir().join(format!("{to}.{end}"))).unwrap_or_default();
    assert!(ended.status.success(), "{size} {args:?}: {}{}", text(&ended.stderr), read("first"));
    Some(First { told: read("first"), files: read("files") })
}

/// Returns every file below a folder by its path, except locks and the test's own markers.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn same(folder: &str, calm: &str) {
    let names = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        let root = dir().join(folder);
        let inside = |path: String| path.strip_prefix(&root.display().to_string()).unwrap().to_owned();
        tree(&root).into_iter().map(|(path, bytes)| (inside(path), bytes)).collect()
    };
    let (one, two) = (names(folder), names(calm));
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>(), "{folder}");
    assert!(one == two, "{folder}: other bytes");
}

fn images() -> Vec<Image> {
    let layers = |seed: u64| vec![noise(seed, 900_000), noise(seed + 1, 700_000), b"low water 00:31\n".repeat(9000)];
    vec![Image::new(layers(30)), Image::new(layers(40))]
}

#[test]
fn x1_an_export_to_a_full_disk_goes_on_when_there_is_room() {
    drop(fresh("disk"));
    layout("disk/source", &images());
    std::fs::create_dir_all(dir().join("disk/calm")).unwrap();
    let (done, _) = packmule(&["export", "oci:disk/source", "-o", "disk/calm/b", "--sign", "k.pem"], 0);
    let all = done["result"]["bytes"].as_u64().unwrap();
    let page = 4096;
    // From no room at all to one page too few for the last file.
    let mut sizes = vec![page, 2 * page, 4 * page, 500_000, 1_200_000, 2_000_000];
    let end = (all / page) * page;
    sizes.extend((0..10).map(|more| end + more * page));
    let mut stopped = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let to = format!("disk/export{index}");
        let args = ["export", "oci:disk/source", "-o", "disk/mnt/b", "--sign", "k.pem"];
        let Some(first) = twice(size, &to, &args) else { return };
        if first.is_full() {
            let final_name = |file: &&str| !file.ends_with(".partial");
            assert_eq!(first.files.lines().find(final_name), None, "{size}: {}", first.told);
            stopped.push(size);
        }
        same(&to, "disk/calm");
    }
    assert!(stopped.len() >= 8 && stopped.iter().any(|size| *size >= end), "{stopped:?} of {end}");
    assert!(stopped.len() < 16, "room enough was never reached");
}

#[test]
fn x1_unpack_and_import_to_a_full_disk_do_it_when_there_is_room() {
    drop(fresh("disk2"));
    layout("disk2/source", &images());
    packmule(&["export", "oci:disk2/source", "-o", "disk2/b", "--sign", "k.pem"], 0);
    packmule(&["unpack", "disk2/b", "--key", "k.pub.pem", "disk2/unpacked"], 0);
    packmule(&["import", "disk2/b", "--key", "k.pub.pem", "--to", "oci:disk2/imported"], 0);
    let all: u64 =
        tree(&dir().join("disk2/unpacked")).values().map(|bytes| bytes.len().next_multiple_of(4096) as u64).sum();
    for (command, calm) in [
        (&["unpack", "disk2/b", "--key", "k.pub.pem", "disk/mnt/l"][..], "disk2/unpacked"),
        (&["import", "disk2/b", "--key", "k.pub.pem", "--to", "oci:disk/mnt/l"], "disk2/imported"),
    ] {
        let mut stopped = 0;
        for (index, size) in [4096, 500_000, 2_000_000, all - 20_480, all - 8192, all - 4096].into_iter().enumerate() {
            let to = format!("{calm}-{index}");
            let Some(first) = twice(size, &to, command) else { return };
            assert!(first.is_full(), "{size} of {all}: {}", first.told);
            assert!(!first.files.contains("index.json"), "{}", first.files);
            // If the sizes show that it cannot fit, nothing is written.
            let told_before = first.told.contains("expected room for") && !first.files.contains("sha256/");
            assert!(told_before || size > 2_000_000, "{size}: {}{}", first.told, first.files);
            stopped += 1;
            same(&format!("{to}/l"), calm);
        }
        assert_eq!(stopped, 6);
    }
    let index: Value =
        serde_json::from_slice(&std::fs::read(dir().join("disk2/unpacked/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
}
