//! Valid, unusual, hostile and damaged layers: which files are passed on, and what is refused.

use std::io::Write as _;

use tar::{Builder, EntryType, Header};

use super::*;
use crate::scan::scanner::tests::flow;

fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // Names are kept as they are, wherever they lead.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o4755);
    header.set_cksum();
    header
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    raw(&header(name, EntryType::Regular, content.len() as u64), content)
}

fn raw(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = [&header.as_bytes()[..], content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn extended(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..rest + 9).find(|length| length.to_string().len() + rest == *length);
        write!(content, "{} {key}=", length.unwrap()).unwrap();
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    raw(&header("pax", EntryType::XHeader, content.len() as u64), &content)
}

fn whole(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], &[0; 1024]].concat()
}

type Given = Vec<(String, Vec<u8>)>;

fn look_within(bytes: &[u8], cap: u64, run: u64) -> (Result<u64, String>, Given) {
    let mut given = Vec::new();
    let mut take = |path: &str, content: &mut dyn Read| {
        let mut bytes = Vec::new();
        // The archive reports incomplete content.
        let _ = content.read_to_end(&mut bytes);
        given.push((path.to_owned(), bytes));
        Ok(())
    };
    let mut reader = bytes;
    let done = files(&mut reader, cap, &AtomicU64::new(run), &flow(1), &mut take);
    let done = done.map_err(|wrong| match wrong {
        Wrong::Archive(what) => what,
        Wrong::NoArchive => "no archive".to_owned(),
        Wrong::Cancelled => "cancelled".to_owned(),
    });
    (done, given)
}

fn look(bytes: &[u8]) -> (Result<u64, String>, Given) {
    look_within(bytes, 1 << 30, 1 << 30)
}

fn refused(bytes: &[u8], what: &str) {
    let (done, _) = look(bytes);
    let told = done.expect_err(what);
    assert!(told.contains(what), "{told}");
}

fn given(files: &[(&str, &[u8])]) -> Given {
    files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

#[test]
fn a1_every_form_gives_the_same_files() {
    let plain = whole(&[file("etc/a", b"one"), file("b", &[7; 1000]), file("empty", b"")]);
    let expected = given(&[("etc/a", b"one"), ("b", &[7; 1000]), ("empty", b"")]);
    let (front, back) = plain.split_at(700);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd_of(&plain)].concat();
    for bytes in [
        plain.clone(),
        gzip(&plain),
        [gzip(front), gzip(back), gzip(b"")].concat(),
        zstd_of(&plain),
        [zstd_of(front), zstd_of(back)].concat(),
        skippable,
    ] {
        let (done, found) = look(&bytes);
        assert_eq!((done, found), (Ok(3), expected.clone()));
    }
    // After a complete member, without the two zero blocks, as programs that unpack it accept.
    assert_eq!(look(&plain[..plain.len() - 1024]).0, Ok(3));
    assert_eq!(look(&plain[..plain.len() - 512]).0, Ok(3));
}

#[test]
fn a1_names_lead_nowhere_and_only_regular_files_are_given() {
    let canary = std::path::Path::new("/tmp/packmule-scan-canary");
    let link = |name: &str, kind: EntryType| raw(&header(name, kind, 0), b"");
    let bytes = whole(&[
        file("/tmp/packmule-scan-canary", b"absolute"),
        file("../../tmp/packmule-scan-canary", b"up"),
        link("tmp", EntryType::Symlink),
        file("tmp/packmule-scan-canary", b"behind a link"),
        link("hard", EntryType::Link),
        link("dir", EntryType::Directory),
        link("null", EntryType::Char),
        link("disk", EntryType::Block),
        link("pipe", EntryType::Fifo),
        file("a\x1b[1m", b"setuid"),
    ]);
    let (done, found) = look(&bytes);
    assert_eq!(done, Ok(4));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["/tmp/packmule-scan-canary", "../../tmp/packmule-scan-canary", "tmp/packmule-scan-canary", "a\x1b[1m"];
    assert_eq!(names, expected);
    assert!(!canary.exists());
}

#[test]
fn a2_long_names_and_sizes_of_pax_and_gnu() {
    let long = "d/".repeat(300) + "f";
    let mut builder = Builder::new(Vec::new());
    let mut one = Header::new_gnu();
    one.set_size(3);
    builder.append_data(&mut one, &long, &b"gnu"[..]).unwrap();
    let gnu = builder.into_inner().unwrap();
    assert_eq!(look(&gnu), (Ok(1), given(&[(&long, b"gnu")])));
    let pax = whole(&[extended(&[("path", long.as_bytes()), ("mtime", b"1.5")]), file("short", b"pax")]);
    assert_eq!(look(&pax), (Ok(1), given(&[(&long, b"pax")])));
    // The pax size counts, whatever the header says. The next member is found where other readers
    // find it.
    let mut lied = raw(&header("real", EntryType::Regular, 0), b"");
    lied.extend(raw_content(b"seven b"));
    let bytes = whole(&[extended(&[("size", b"7")]), lied, file("next", b"n")]);
    assert_eq!(look(&bytes), (Ok(2), given(&[("real", b"seven b"), ("next", b"n")])));
    // A value that contains line ends is not a record.
    let bytes = whole(&[extended(&[("SCHILY.xattr.x", b"1\n12 path=evil\n"), ("path", b"true")]), file("x", b"y")]);
    assert_eq!(look(&bytes).1, given(&[("true", b"y")]));
    let global = raw(&header("g", EntryType::XGlobalHeader, 14), b"14 comment=ab\n");
    assert_eq!(look(&whole(&[global, file("a", b"b")])).0, Ok(1));
}

fn raw_content(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn a2_what_readers_understand_differently_is_refused() {
    let one = || file("a", b"b");
    let long = || raw(&header("././@LongLink", EntryType::GNULongName, 3), b"abc");
    for (bytes, what) in [
        (whole(&[raw(&header("s", EntryType::GNUSparse, 512), &[1; 512])]), "sparse"),
        (whole(&[extended(&[("GNU.sparse.major", b"1")]), one()]), "sparse"),
        (whole(&[raw(&header("d", EntryType::Directory, 512), &[1; 512])]), "content after d"),
        (whole(&[extended(&[("size", b"512")]), raw(&header("l", EntryType::Symlink, 0), b"")]), "content after l"),
        (whole(&[raw(&header("h", EntryType::Link, 5), b"12345")]), "content after h"),
        (whole(&[raw(&header("u", EntryType::new(b'Q'), 0), b"")]), "unknown type"),
        (whole(&[extended(&[]), extended(&[]), one()]), "two extended headers"),
        (whole(&[long(), long(), one()]), "two extended headers"),
        (whole(&[extended(&[("path", b"x")])]), "without its member"),
        (whole(&[raw(&header("g", EntryType::XGlobalHeader, 10), b"10 size=7\n"), one()]), "global header"),
        (whole(&[raw(&header("x", EntryType::XHeader, 4), b"junk"), one()]), "not in its form"),
        ([whole(&[one()]), one()].concat(), "after the archive's end"),
        ([&whole(&[one()])[..], b"x"].concat(), "after the archive's end"),
        (whole(&[raw(&header("x", EntryType::XHeader, 2 << 20), &vec![b' '; 2 << 20]), one()]), "limits exceeded"),
        (whole(&[raw(&header("x", EntryType::GNULongName, 1 << 40), b"x"), one()]), "limits exceeded"),
        (b"\xfd7zXZ\0".repeat(200), "compression"),
        (b"BZh91AY".to_vec(), "compression"),
    ] {
        refused(&bytes, what);
    }
    let mut spoilt = whole(&[one()]);
    spoilt[3] ^= 1;
    refused(&spoilt, "checksum");
    let mut size = header("a", EntryType::Regular, 0);
    size.as_mut_bytes()[124..136].copy_from_slice(b"99999999999\0");
    size.set_cksum();
    refused(&whole(&[raw(&size, b"")]), "not a number");
}

#[test]
fn only_what_no_program_would_unpack_is_no_archive() {
    let plain = whole(&[file("a", b"b")]);
    for none in [
        b"".to_vec(),
        b"just a text file\n".to_vec(),
        vec![1; 512],
        b"{}".repeat(1000),
        gzip(b""),
        gzip(b"text"),
        zstd_of(&vec![7; 2000]),
        gzip(&gzip(&plain)),
        plain[..511].to_vec(),
    ] {
        refused(&none, "no archive");
        assert!(look(&none).1.is_empty());
    }
    // A damaged header, a checksum that other programs count as signed numbers or write otherwise.
    let mut v7 = plain.clone();
    v7[257..265].fill(0);
    let with_checksum = |sum: &[u8; 8], first: u8| {
        let mut bytes = v7.clone();
        bytes[0] = first;
        bytes[148..156].copy_from_slice(sum);
        bytes
    };
    let sum: i64 = v7[..148].iter().chain(&v7[156..512]).map(|&byte| i64::from(byte)).sum::<i64>() + 256;
    let octal = |sum: i64| -> [u8; 8] { format!("{sum:06o}\0 ").into_bytes().try_into().unwrap() };
    assert!(look(&with_checksum(&octal(sum), b'a')).0.is_ok());
    let signed = sum - i64::from(b'a') + i64::from(0xe9_u8.cast_signed());
    refused(&with_checksum(&octal(signed), 0xe9), "checksum");
    refused(&with_checksum(&octal(sum + 1), b'a'), "no archive");
    let mut magic = plain;
    magic[148..156].fill(b'x');
    refused(&magic, "checksum");
    // What broke off in its compression is not known to be no archive.
    let packed = gzip(&whole(&[file("a", &[9; 3000])]));
    for end in 2..packed.len() {
        assert!(look(&packed[..end]).0.unwrap_err() != "no archive", "{end}");
    }
}

#[test]
fn a1_cut_anywhere_within_a_member_is_refused() {
    let bytes = whole(&[file("a", &[5; 700]), extended(&[("path", b"b")]), file("x", &[6; 10])]);
    let boundaries = [512 + 1024, bytes.len() - 1024];
    for end in 1..bytes.len() - 1024 {
        let (done, _) = look(&bytes[..end]);
        assert_eq!(done.is_ok(), boundaries.contains(&end), "{end}: {done:?}");
    }
    let packed = gzip(&bytes);
    for end in 0..packed.len() {
        assert!(look(&packed[..end]).0.is_err(), "gzip {end}");
    }
    let packed = zstd_of(&bytes);
    for end in 0..packed.len() {
        assert!(look(&packed[..end]).0.is_err(), "zstd {end}");
    }
    for at in 10..packed.len() {
        let mut changed = packed.clone();
        changed[at] ^= 0x55;
        // The result may still be an archive, but never one that ends early without an error.
        let (done, found) = look(&changed);
        assert!(done.is_err() || found.len() == 2, "{at}: {done:?}");
    }
}

#[test]
fn a1_bombs_end_at_the_caps() {
    let size = 64 << 20;
    let mut bomb = raw(&header("zeros", EntryType::Regular, size), b"");
    bomb.resize(bomb.len() + usize::try_from(size).unwrap(), 0);
    let bomb = whole(&[bomb]);
    for packed in [gzip(&bomb), zstd_of(&bomb)] {
        assert!(packed.len() < 100_000);
        assert_eq!(look_within(&packed, 65 << 20, 65 << 20).0, Ok(1));
        let (done, found) = look_within(&packed, 8 << 20, 1 << 30);
        assert!(done.unwrap_err().contains("limits exceeded"));
        assert!(found[0].1.len() <= 8 << 20);
        assert!(look_within(&packed, 1 << 30, 8 << 20).0.unwrap_err().contains("limits exceeded"));
    }
    // Zeros after the end count too.
    let tail = gzip(&[whole(&[file("a", b"b")]), vec![0; 16 << 20]].concat());
    assert!(look_within(&tail, 8 << 20, 1 << 30).0.unwrap_err().contains("limits exceeded"));
    assert_eq!(LAYER.of(1 << 20), (256 << 20) + (200 << 20));
    assert_eq!(RUN.of(u64::MAX), u64::MAX);
}

/// Archives in each format of GNU tar give the files that GNU tar extracts from them, or are
/// refused.
#[test]
fn a2_gnu_tar_sees_the_same_files_or_they_are_refused() {
    use std::collections::BTreeMap;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let deep = root.join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    let mut contents: Vec<(std::path::PathBuf, Vec<u8>)> = vec![
        (root.join("plain"), b"plain".to_vec()),
        (root.join("empty"), Vec::new()),
        (root.join("block"), vec![1; 512]),
        (root.join("two\nlines"), b"lines".to_vec()),
        (root.join("\u{e9}t\u{e9} =17 x=y"), b"accents".to_vec()),
        (root.join(std::ffi::OsStr::from_bytes(b"not utf-8 \xff")), b"raw".to_vec()),
        (deep.join("g".repeat(90)), b"deep".to_vec()),
    ];
    contents.push((root.join("large"), (0..200_000_u32).flat_map(u32::to_le_bytes).collect()));
    for (path, content) in &contents {
        std::fs::write(path, content).unwrap();
    }
    std::fs::hard_link(root.join("plain"), root.join("zhard")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    let shown = |path: &std::path::Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    for (form, holes) in
        [("v7", false), ("ustar", false), ("gnu", false), ("posix", false), ("gnu", true), ("posix", true)]
    {
        let archive = folder.path().join("archive");
        let mut pack = Command::new("tar");
        pack.args([&format!("--format={form}"), "--sort=name", "-C"]).arg(&root).arg("-cf").arg(&archive).arg(".");
        if holes {
            pack.arg("--sparse");
        }
        // The old formats omit files that they cannot represent.
        let is_all = pack.output().unwrap().status.success();
        let (done, found) = look(&std::fs::read(&archive).unwrap());
        if holes {
            assert!(done.unwrap_err().contains("sparse"), "{form}");
            continue;
        }
        let count = done.unwrap();
        let found: BTreeMap<String, Vec<u8>> =
            found.into_iter().map(|(name, content)| (name.trim_start_matches("./").to_owned(), content)).collect();
        assert_eq!(found.len() as u64, count);
        for (path, content) in &contents {
            match found.get(&shown(path)) {
                Some(given) => assert!(given == content, "{form}: {}", path.display()),
                None => assert!(!is_all, "{form}: {}", path.display()),
            }
        }
        assert_eq!(found["sparse"].len(), 10 << 20);
        assert!(found.len() <= contents.len() + 1, "links and pipes are no files: {:?}", found.keys());
    }
}
