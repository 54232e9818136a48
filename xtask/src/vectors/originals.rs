//! A cut index next to the original that its `original` names (`spec/closure.md`, `spec/policy.md`).

use super::Book;
use super::content::{Content, MANIFEST, describe, index};
use super::kinds::plain_image;
use super::referrers::{HERE, SPDX, add_one, other_image, refer, shelf};
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    kept(book);
}

fn kept(book: &mut Book) {
    // An index of three platforms, without the third, and a new index of the first two.
    let both = |of_original: bool, of_cut: bool| {
        let elsewhere = describe(MANIFEST, b"elsewhere");
        let content = shelf(|content| {
            let images = [plain_image(content), other_image(content, "second")];
            let [first, second] = images.clone();
            let original = content.document(&index(&[first.clone(), second.clone(), elsewhere.clone()]));
            let cut = content.document(&index(&[first, second]));
            let mut entry = cut.clone();
            entry["original"] = original["digest"].clone();
            content.artifact(HERE, &["1"], &entry);
            content.artifact(HERE, &[], &original);
            for subject in [of_original.then_some(&original), of_cut.then_some(&cut)].into_iter().flatten() {
                refer(content, HERE, subject, SPDX);
            }
        });
        let absent = json!([{ "digest": elsewhere["digest"], "reason": "platform", "size": elsewhere["size"] }]);
        content.with("absent", absent)
    };
    let alone: Content = both(false, false);
    book.add(alone.signed(), "ok-M6-original-kept", "PASS", "a cut index, and the original without a tag");
    for (name, comment, passes, content) in [
        ("original-and-cut", "the original has the referrer, and so has the cut index", true, both(true, true)),
        ("original-alone", "the original has the referrer, the cut index has not", false, both(true, false)),
        ("cut-alone", "the cut index has the referrer, the original has not", false, both(false, true)),
    ] {
        add_one(book, name, comment, passes, "\"application/spdx+json\"", &content);
    }
}
