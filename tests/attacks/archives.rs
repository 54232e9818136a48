//! Hostile archives of images: each is refused with its class and the place in it, before anything is
//! written, and no name in it reaches the file system.

use std::fs;

use serde_json::json;
use tar::{EntryType, Header};

use super::saved::{Saved, file, list, member, tar};
use super::world::{dir, fresh, packmule, refused};

/// Exports an archive with these bytes, which must be refused as malformed with `told`.
fn malformed(test: &str, bytes: &[u8], told: &str) {
    fs::write(dir().join(test).join("x.tar"), bytes).unwrap();
    let found =
        refused(&["export", &format!("docker-archive:{test}/x.tar"), "-o", &format!("{test}/b"), "--unsigned"], 10);
    assert!(found.contains("archive ") && found.contains("x.tar: ") && found.contains(told), "{told}: {found}");
    let left: Vec<_> = fs::read_dir(dir().join(test)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_own = |name: &str| name == "x.tar" || name.starts_with("b.");
    let strange: Vec<_> = left.iter().filter(|name| !is_own(&name.to_string_lossy())).collect();
    assert!(strange.is_empty(), "{told}: {strange:?}");
}

fn good(image: &Saved) -> Vec<Vec<u8>> {
    [image.members(), vec![list(&[image.entry(&["example.org/a:1"])])]].concat()
}

#[test]
fn names_and_links_that_lead_out_are_refused() {
    let test = "archive-names";
    drop(fresh(test));
    let image = Saved::new("a");
    let with = |more: Vec<u8>| tar(&[good(&image), vec![more]].concat());
    for name in ["../evil", "a/../../evil", "/etc/evil", "a/..", "."] {
        malformed(test, &with(file(name, b"x")), "expected a name inside the archive");
    }
    malformed(test, &with(file("a\u{1b}[31m/../b", b"x")), "\\u{1b}[31m/../b");
    let layer = image.entry(&[])["Layers"][1].as_str().unwrap().to_owned();
    let linked = |kind: EntryType, target: &str| {
        let config = file(&image.config_name(), &image.config);
        let base = file(image.entry(&[])["Layers"][0].as_str().unwrap(), &image.layers[0]);
        tar(&[config, base, member(&layer, kind, b"", target), list(&[image.entry(&[])])])
    };
    for target in ["../../etc/passwd", "/etc/passwd", "../../../../../../proc/self/environ", ""] {
        malformed(test, &linked(EntryType::Symlink, target), "expected a name inside the archive");
    }
    malformed(test, &linked(EntryType::Link, "../x"), "expected a name inside the archive");
    malformed(test, &linked(EntryType::Symlink, "../nothing"), "member nothing: expected one, found none");
    // To itself.
    malformed(test, &linked(EntryType::Symlink, "layer.tar"), "found a circle of links");
    malformed(test, &linked(EntryType::Link, &layer), "found a circle of links");
    // A link to a file outside of the archive, next to it, is only a name that the archive does not have.
    fs::write(dir().join(test).join("x.tar"), b"").unwrap();
    malformed(test, &linked(EntryType::Symlink, "../x.tar"), "member x.tar: expected one, found none");
    // Inside it is followed.
    let config = file(&image.config_name(), &image.config);
    let kept = [file("kept/base", &image.layers[0]), file("kept/top", &image.layers[1])];
    let first = image.entry(&[])["Layers"][0].as_str().unwrap().to_owned();
    let links =
        [member(&first, EntryType::Link, b"", "kept/base"), member(&layer, EntryType::Symlink, b"", "../kept/top")];
    let archive = tar(&[&[config][..], &kept, &links, &[list(&[image.entry(&["a:1"])])]].concat());
    fs::write(dir().join(test).join("x.tar"), archive).unwrap();
    packmule(&["export", &format!("docker-archive:{test}/x.tar"), "-o", &format!("{test}/b"), "--unsigned"], 0);
}

#[test]
fn contradictions_are_refused() {
    let test = "archive-lies";
    drop(fresh(test));
    let (image, other) = (Saved::new("a"), Saved::new("b"));
    let entry = image.entry(&["example.org/a:1"]);
    let layer = entry["Layers"][1].as_str().unwrap().to_owned();
    let archive = |members: &[Vec<u8>]| tar(members);
    let of = |config: &[u8], top: &[u8]| {
        let base = file(entry["Layers"][0].as_str().unwrap(), &image.layers[0]);
        archive(&[file(&image.config_name(), config), base, file(&layer, top), list(std::slice::from_ref(&entry))])
    };
    // Content that is not what its name or the config says.
    malformed(test, &of(&other.config, &image.layers[1]), "expected content sha256:");
    malformed(test, &of(&image.config, &other.layers[1]), "expected a layer with the diff_id");
    malformed(test, &of(&image.config, &image.layers[1][..512]), "expected a layer with the diff_id");
    malformed(test, &of(&image.config, &[&image.layers[1][..], b"more"].concat()), "expected a layer with the diff_id");
    let zipped = zstd::encode_all(&other.layers[1][..], 1).unwrap();
    malformed(test, &of(&image.config, &zipped), "expected a layer with the diff_id");
    let cut = &zstd::encode_all(&image.layers[1][..], 1).unwrap();
    malformed(test, &of(&image.config, &cut[..cut.len() - 3]), &format!("member {layer}: "));
    malformed(test, &of(&image.config, b"\xfd7zXZ\0 and more"), "found xz");
    // Two members of one name that differ; equal ones are one.
    let twice = |more: Vec<u8>| archive(&[good(&image), vec![more]].concat());
    malformed(test, &twice(file(&layer, &other.layers[1])), "expected one, found 2 that differ");
    malformed(test, &twice(member(&layer, EntryType::Symlink, b"", "../x")), "expected one, found 2 that differ");
    malformed(test, &twice(list(&[other.entry(&[])])), "member manifest.json: expected one, found 2 that differ");
    fs::write(dir().join(test).join("x.tar"), twice(file(&format!("./{layer}"), &image.layers[1]))).unwrap();
    packmule(&["export", &format!("docker-archive:{test}/x.tar"), "--dry-run"], 0);
    // Lists that do not fit.
    let listed =
        |entries: &[serde_json::Value]| archive(&[image.members(), other.members(), vec![list(entries)]].concat());
    let both = [image.entry(&["a:1"]), other.entry(&["a:1"])];
    malformed(test, &listed(&both), "expected one image named docker.io/library/a:1, found two that differ");
    let mut short = image.entry(&[]);
    short["Layers"].as_array_mut().unwrap().pop();
    malformed(test, &listed(&[short]), "expected a layer for each of its 2 diff_ids, found 1");
    malformed(test, &listed(&[]), "expected at least one image");
    let mut config = image.entry(&[]);
    config["Config"] = json!("../../etc/passwd");
    malformed(test, &listed(&[config.clone()]), "expected a name inside the archive");
    config["Config"] = json!("nothing.json");
    malformed(test, &listed(&[config]), "member nothing.json: expected one, found none");
    malformed(test, &archive(&image.members()), "expected manifest.json, found none");
    malformed(test, &archive(&[file("index.json", b"{}")]), "found an OCI layout without one");
    malformed(test, &archive(&[file("manifest.json", b"[{]")]), "member manifest.json: ");
    // One member as the layer of two images that state different digests for it.
    let mut borrowed = other.entry(&[]);
    borrowed["Layers"][1] = json!(layer);
    malformed(test, &listed(&[image.entry(&[]), borrowed]), "expected one diff_id, found sha256:");
}

#[test]
fn archives_that_readers_interpret_differently_are_refused() {
    let test = "archive-forms";
    drop(fresh(test));
    let image = Saved::new("a");
    let whole = tar(&good(&image));
    let with = |first: Vec<u8>| tar(&[vec![first], good(&image)].concat());
    // Truncated at places of every kind.
    for end in [1, 511, 512, 700, whole.len() / 2 + 7, whole.len() - 1024 - 5] {
        malformed(test, &whole[..end], "it is truncated");
    }
    malformed(test, b"", "it is truncated");
    malformed(test, &[&whole[..], b"more"].concat(), "expected nothing after the archive's end");
    malformed(test, &[&[b'x'; 512][..], &whole].concat(), "wrong checksum");
    malformed(test, &with(member("s", EntryType::GNUSparse, b"", "")), "found a sparse one");
    malformed(test, &with(member("d", EntryType::Char, b"", "")), "member d: expected a file, directory or link");
    malformed(test, &with(member("p", EntryType::Fifo, b"", "")), "member p: expected a file, directory or link");
    malformed(test, &with(member("l", EntryType::Symlink, b"content", "x")), "member l: expected no content, found 7");
    let pax = |record: &str, kind: EntryType| member("pax", kind, record.as_bytes(), "");
    let record = |text: &str| format!("{} {text}\n", text.len() + 4);
    for (header, told) in [
        (pax(&record("GNU.sparse.major=1"), EntryType::XHeader), "found a sparse one"),
        (pax("99 path=x\n", EntryType::XHeader), "expected an extended header"),
        (pax("11 size=abc\n", EntryType::XHeader), "expected an extended header"),
        (pax("20 size=99999999999\n", EntryType::XHeader), "it is truncated"),
        (pax(&record("path=../evil000"), EntryType::XHeader), "expected a name inside the archive"),
        (pax(&record("path=some-name"), EntryType::XGlobalHeader), "expected no global header"),
    ] {
        malformed(test, &with([header, file("f", b"x")].concat()), told);
    }
    let two = [pax(&record("comment=xyz"), EntryType::XHeader), pax(&record("comment=xyz"), EntryType::XHeader)];
    malformed(test, &with(two.concat()), "found two of one kind");
    malformed(test, &tar(&[pax(&record("comment=xyz"), EntryType::XHeader)]), "found the end");
    // A header that claims more than the file has, and a long name without end.
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_size(u64::MAX >> 2);
    header.set_cksum();
    malformed(test, &[&header.as_bytes()[..], &whole].concat(), "it is truncated");
    let long = member("././@LongLink", EntryType::GNULongName, &vec![b'a'; 70_000], "");
    malformed(test, &with([long, file("f", b"x")].concat()), "expected a name or extended header of at most");
    let mut raw = file("name", b"x");
    raw[0] = 0xff;
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&raw[..512]);
    header.set_cksum();
    malformed(test, &with([&header.as_bytes()[..], &raw[512..]].concat()), "expected UTF-8");
}

#[test]
fn an_archive_that_expands_without_end_or_has_too_many_members_is_refused() {
    let test = "archive-sizes";
    drop(fresh(test));
    // 512 MiB of zeros in a few KiB, after a header that claims them.
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let zeros = vec![0; 1 << 20];
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    std::io::Write::write_all(&mut encoder, header.as_bytes()).unwrap();
    for _ in 0..300 {
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    }
    malformed(test, &encoder.finish().unwrap(), "limits exceeded");
    let one = file("manifest.json", b"");
    let name = member("d/", EntryType::Directory, b"", "");
    malformed(test, &[one, name.repeat((1 << 18) + 1)].concat(), "limits exceeded");
    let image = Saved::new("a");
    let large = Saved { config: vec![b' '; (4 << 20) + 1], layers: image.layers.clone() };
    malformed(test, &tar(&good(&large)), "expected at most 4194304 bytes");
}
