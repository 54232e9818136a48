//! Imports every vector: from its files, and as the stream that `cat` makes of them, with the same
//! trust and at the same time. A vector that verify refuses sets no tag, either way.
//!
//! Vectors with a state are skipped: verify reads the records of all destinations, an import only
//! its own destination's (`spec/state.md`); `channel.rs` covers these.

use std::fs;
use std::path::Path;

use crate::packmule_at;
use crate::vectors::{Vector, lay, names};

/// Imports into a new layout, with a new state: the exit code, and whether anything was tagged.
fn import(vector: &Vector, dir: &Path, what: &str, trust: &[String]) -> (u8, bool, String) {
    let site = dir.join("site");
    let mut args = vec!["import", what, "--to", "oci:site", "-j", "2", "--state", "seats", "--init-state"];
    args.extend(trust.iter().map(String::as_str));
    let ended = packmule_at(dir, &args, None, vector.clock());
    let index = fs::read_to_string(site.join("index.json")).unwrap_or_default();
    drop(fs::remove_dir_all(site));
    (ended.code, index.contains("ref.name"), ended.stderr)
}

#[test]
fn what_verify_refuses_no_import_tags() {
    let (mut imported, mut streamed) = (0, 0);
    for name in names() {
        let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let vector = lay(&name, dir.path());
        if vector.has_state() {
            continue;
        }
        let trust = vector.trust(dir.path(), home.path());
        let mut ways = vec![vector.what()];
        // Faults of the trust options are reported before anything of a bundle is read.
        if !vector.is_stream() && vector.expect != "USAGE" {
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
            // Faults outside the volumes do not get into a stream.
            let mut verify = vec!["verify", way.as_str(), "--state", "none"];
            verify.extend(trust.iter().map(String::as_str));
            let passes = packmule_at(dir.path(), &verify, None, vector.clock()).code == 0;
            assert!(passes == (vector.expect == "PASS") || way.ends_with("as-stream"), "{name}");
            let (code, is_tagged, told) = import(&vector, dir.path(), &way, &trust);
            if passes {
                // A bundle whose base or platforms are missing at the destination is refused there;
                // one with missing blobs is partial.
                assert!([0, 15, 30].contains(&code), "{name} {way}: {code} {told}");
                imported += usize::from(code == 0);
            } else {
                assert!(!is_tagged, "{name} {way}: tagged, {code} {told}");
                assert!([2, 10, 11, 12, 13, 14, 15, 22].contains(&code), "{name} {way}: {code} {told}");
            }
        }
    }
    assert!(imported > 200 && streamed > 700, "{imported} imported, {streamed} as streams");
}
