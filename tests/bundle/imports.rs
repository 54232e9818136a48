//! Every vector once more, imported: from its files, and as the stream that `cat` makes of them. What verify refuses
//! sets no tag, whichever way it comes.

use std::fs;
use std::path::Path;

use crate::packmule;
use crate::vectors::{lay, names, pem};

/// Imports into a new layout: the exit code, and whether anything was tagged.
fn import(dir: &Path, what: &str, trust: &[String]) -> (u8, bool, String) {
    let site = dir.join("site");
    let mut args = vec!["import", what, "--to", "oci:site", "-j", "2"];
    args.extend(trust.iter().map(String::as_str));
    let ended = packmule(dir, &args);
    let index = fs::read_to_string(site.join("index.json")).unwrap_or_default();
    drop(fs::remove_dir_all(site));
    (ended.code, index.contains("ref.name"), ended.stderr)
}

#[test]
fn what_verify_refuses_no_import_tags() {
    let (mut imported, mut streamed) = (0, 0);
    for name in names() {
        let dir = tempfile::tempdir().unwrap();
        let vector = lay(&name, dir.path());
        let mut trust = Vec::new();
        for (number, key) in vector.keys.iter().enumerate() {
            let file = dir.path().join(format!("key{number}"));
            fs::write(&file, pem(key)).unwrap();
            trust.extend(["--key".to_owned(), file.display().to_string()]);
        }
        trust.extend(vector.threshold.iter().flat_map(|number| ["--threshold".to_owned(), number.to_string()]));
        let mut ways = vec![vector.what()];
        if !vector.is_stream() {
            let stream = dir.path().join("as-stream");
            let mut out = Vec::new();
            let written = packmule::bundle::open(&dir.path().join(&ways[0]))
                .and_then(|opened| packmule::bundle::stream::write(&opened, &crate::flow(), &mut out));
            if written.is_ok() {
                fs::write(&stream, out).unwrap();
                ways.push("./as-stream".to_owned());
                streamed += 1;
            }
        }
        for way in ways {
            // What is wrong beside the volumes does not go into a stream.
            let mut verify = vec!["verify", way.as_str()];
            verify.extend(trust.iter().map(String::as_str));
            let passes = packmule(dir.path(), &verify).code == 0;
            assert!(passes == (vector.expect == "PASS") || way.ends_with("as-stream"), "{name}");
            let (code, is_tagged, told) = import(dir.path(), &way, &trust);
            if passes {
                // One whose base or platforms the new place lacks is refused there, one that lacks blobs is partial.
                assert!([0, 15, 30].contains(&code), "{name} {way}: {code} {told}");
                imported += usize::from(code == 0);
            } else {
                assert!(!is_tagged, "{name} {way}: tagged, {code} {told}");
                assert!([2, 10, 11, 12, 13, 14, 15, 22].contains(&code), "{name} {way}: {code} {told}");
            }
        }
    }
    assert!(imported > 60 && streamed > 300, "{imported} imported, {streamed} as streams");
}
