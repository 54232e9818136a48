//! Sizes that a section of a policy allows (`spec/policy.md`, `limits`).

use super::Book;
use super::content::{EMPTY, describe, image, sha256};
use super::curve::Key;
use super::desk::{at, base, held, more, under};
use super::frame::packed;
use super::kinds::one;
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    limits(book);
}

fn limits(book: &mut Book) {
    let bundle = |size: &str| more(&format!("limits = {{ bundle = \"{size}\" }}"));
    let blob = |size: &str| more(&format!("limits = {{ blob = \"{size}\" }}"));
    let total: usize = at(0, 7).blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    let largest = at(0, 7).blobs.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
    for (name, expect, comment, policy) in [
        ("ok-policy-limit-bundle", "PASS", "just as many bytes as all blobs may have", bundle(&total.to_string())),
        ("policy-limit-bundle", "POLICY", "one byte more than all blobs may have", bundle(&(total - 1).to_string())),
        ("policy-limit-bundle-0", "POLICY", "no byte allowed", bundle("0")),
        ("ok-policy-limit-blob", "PASS", "just as many bytes as one blob may have", blob(&largest.to_string())),
        ("policy-limit-blob", "POLICY", "one byte more than one blob may have", blob(&(largest - 1).to_string())),
        ("policy-limit-blob-0", "POLICY", "no byte allowed", blob("0")),
        ("ok-policy-limit-2-to-64-less-1", "PASS", "the largest limit", bundle("18446744073709551615")),
        ("ok-policy-limit-tib", "PASS", "the largest limit in TiB", blob("16777215TiB")),
        ("ok-policy-limit-leading-zeros", "PASS", "zeros in front of a limit", bundle("0001000")),
        ("ok-policy-limit-bytes", "PASS", "a limit in bytes, with its unit", bundle(&format!("{total}B"))),
        (
            "policy-limit-bytes",
            "POLICY",
            "one byte more than a limit in bytes, with its unit",
            bundle(&format!("{} B", total - 1)),
        ),
    ] {
        book.add(base(&policy), name, expect, comment);
    }
    let sized = |size: usize| {
        one(|content| {
            let config = content.put(EMPTY, b"{}");
            let layer = content.put("x/layer", &vec![b'a'; size]);
            content.document(&image(&config, &[layer]))
        })
    };
    for (unit, size) in [("kB", 1000), ("KB", 1000), ("KiB", 1024)] {
        for (more_than, expect) in [(0, "PASS"), (1, "POLICY")] {
            let name = format!(
                "policy-limit-1-{}",
                if unit == "KB" { "kb-upper-case".to_owned() } else { unit.to_lowercase() }
            );
            let (name, comment) = if more_than == 0 {
                (format!("ok-{name}"), "as many bytes as the unit has")
            } else {
                (name, "one byte more than the unit has")
            };
            book.add(held(&sized(size + more_than), &[1, 2], &blob(&format!("1{unit}"))), &name, expect, comment);
        }
    }
    for (unit, size) in [("MB", 1_000_000), ("MiB", 1 << 20)] {
        let scene = |size| {
            let built = sized(size).lay().each(packed).under(&[Key::of(1), Key::of(2)]);
            under(built.signed(), &blob(&format!("1{unit}")))
        };
        book.add(
            scene(size),
            &format!("ok-policy-limit-1-{}", unit.to_lowercase()),
            "PASS",
            "as many bytes as the unit has",
        );
        book.add(
            scene(size + 1),
            &format!("policy-limit-1-{}", unit.to_lowercase()),
            "POLICY",
            "one byte more than the unit has",
        );
    }
    // Absent content is not carried.
    let absent = one(|content| {
        let config = content.put(EMPTY, b"{}");
        content.document(&image(&config, &[describe("x/layer", b"elsewhere")]))
    });
    let absent = absent.with("absent", json!([{ "digest": sha256(b"elsewhere"), "reason": "missing", "size": 9 }]));
    let carried: usize = absent.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    book.add(
        held(&absent, &[1, 2], &bundle(&carried.to_string())),
        "ok-policy-limit-absent",
        "PASS",
        "what is absent does not count",
    );
}
