//! Referrers of an index: of the index itself, or of each of its children (`spec/policy.md`,
//! `require.referrers`).

use super::Book;
use super::content::{Content, EMPTY, MANIFEST, describe, index};
use super::kinds::{IMAGE_CONFIG, plain_image};
use super::referrers::{HERE, SPDX, add_one, document, other_image, refer, shelf};
use serde_json::{Value, json};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    indexes(book);
}

fn indexes(book: &mut Book) {
    /// Returns an index of two images and more children. `edit` adds referrers.
    fn list(more: &[Value], edit: impl FnOnce(&mut Content, &Value, &[Value])) -> Content {
        shelf(|content| {
            let mut children = vec![plain_image(content), other_image(content, "second")];
            for (number, platform) in more.iter().enumerate() {
                let mut child = other_image(content, &format!("more {number}"));
                child["platform"] = platform.clone();
                children.push(child);
            }
            let root = content.document(&index(&children));
            content.artifact(HERE, &["1"], &root);
            for child in &mut children {
                if let Some(child) = child.as_object_mut() {
                    child.remove("platform");
                }
            }
            edit(content, &root, &children);
        })
    }
    let spdx = |content: &mut Content, subjects: &[Value]| {
        for subject in subjects {
            refer(content, HERE, subject, SPDX);
        }
    };
    let both = |more: &[Value]| list(more, |content, _, children| spdx(content, &children[..2]));
    let unknown = json!({ "architecture": "unknown", "os": "unknown" });
    let of_others = |config: &str, platform: Option<&Value>| {
        shelf(|content| {
            let mut child = document(content, config, |_| ());
            if let Some(platform) = platform {
                child["platform"] = platform.clone();
            }
            let root = content.document(&index(&[child]));
            content.artifact(HERE, &["1"], &root);
        })
    };
    let nested = |at: usize| {
        shelf(|content| {
            let child = plain_image(content);
            let inner = content.document(&index(std::slice::from_ref(&child)));
            let outer = content.document(&index(std::slice::from_ref(&inner)));
            content.artifact(HERE, &["1"], &outer);
            let levels = [outer, inner, child];
            spdx(content, levels.get(at..=at).unwrap_or_default());
        })
    };
    let child_too = |second: bool| {
        list(&[], |content, root, children| {
            spdx(content, std::slice::from_ref(root));
            content.artifact(HERE, &["child"], &children[0]);
            if second {
                spdx(content, &children[..1]);
            }
        })
    };
    let with_subject = shelf(|content| {
        let child = plain_image(content);
        let subject = describe(MANIFEST, b"elsewhere");
        let mut document = index(&[child]);
        document["subject"] = subject.clone();
        let mut root = content.document(&document);
        root["subject"] = subject["digest"].clone();
        content.artifact(HERE, &["1"], &root);
    });
    let sparse = |second: bool| {
        let elsewhere = describe(MANIFEST, b"elsewhere");
        let content = shelf(|content| {
            let child = plain_image(content);
            let root = content.document(&index(&[child.clone(), elsewhere.clone()]));
            content.artifact(HERE, &["1"], &root);
            spdx(content, &[child]);
            if second {
                spdx(content, std::slice::from_ref(&elsewhere));
            }
        });
        content
            .with("absent", json!([{ "digest": elsewhere["digest"], "reason": "platform", "size": elsewhere["size"] }]))
    };
    let leafy = |third: bool| {
        shelf(|content| {
            let mut children = vec![plain_image(content), other_image(content, "second")];
            children.push(content.put("x/leaf", b"leaf"));
            let root = content.document(&index(&children));
            content.artifact(HERE, &["1"], &root);
            spdx(content, &children[..if third { 3 } else { 2 }]);
        })
    };
    let unknown_and_other = shelf(|content| {
        let other = document(content, EMPTY, |_| ());
        let mut child = other_image(content, "for unknown/unknown");
        child["platform"] = unknown.clone();
        let root = content.document(&index(&[other, child]));
        content.artifact(HERE, &["1"], &root);
    });
    let image_as_leaf = shelf(|content| {
        let image = plain_image(content);
        content.artifact("registry.example/notes/pepper", &["1"], &image);
        refer(content, "registry.example/notes/pepper", &image, SPDX);
        let mut leaf = image;
        leaf["mediaType"] = json!("x/leaf");
        let root = content.document(&index(&[leaf]));
        content.artifact(HERE, &["1"], &root);
    });
    let with_third = |config: &str, in_index: bool| {
        shelf(|content| {
            let images = [plain_image(content), other_image(content, "second")];
            let mut third = document(content, config, |document| document["annotations"] = json!({ "x": "third" }));
            if in_index {
                third = content.document(&index(&[third]));
            }
            let [first, second] = images.clone();
            let root = content.document(&index(&[first, second, third]));
            content.artifact(HERE, &["1"], &root);
            spdx(content, &images);
        })
    };
    for (name, comment, passes, content) in [
        (
            "at-index",
            "the index has the referrer",
            true,
            list(&[], |content, root, _| spdx(content, std::slice::from_ref(root))),
        ),
        ("at-no-index", "neither the index nor its children have it", false, list(&[], |_, _, _| ())),
        ("at-children", "both children have it", true, both(&[])),
        (
            "at-first-child",
            "one child of two has it",
            false,
            list(&[], |content, _, children| spdx(content, &children[..1])),
        ),
        (
            "at-second-child",
            "one child of two has it",
            false,
            list(&[], |content, _, children| spdx(content, &children[1..])),
        ),
        (
            "at-children-but-unknown",
            "both children have it, a third, which is an image for unknown/unknown, has not",
            false,
            both(std::slice::from_ref(&unknown)),
        ),
        (
            "at-children-but-third",
            "both children have it, a third has not",
            false,
            both(&[json!({ "architecture": "arm64", "os": "linux" })]),
        ),
        (
            "at-children-but-no-image",
            "both children have it, a third, which is no image, needs none",
            true,
            with_third(EMPTY, false),
        ),
        (
            "at-children-but-index-of-no-image",
            "both children have it, a third, an index of no image, needs none",
            true,
            with_third(EMPTY, true),
        ),
        (
            "at-children-but-index",
            "both children have it, a third, an index of an image, has not",
            false,
            with_third(IMAGE_CONFIG, true),
        ),
        ("index-of-no-images", "an index that leads to no image", true, of_others(EMPTY, None)),
        ("index-of-one", "an index of one image", false, of_others(IMAGE_CONFIG, None)),
        (
            "index-of-unknown",
            "an index that leads to an image for unknown/unknown alone",
            false,
            of_others(IMAGE_CONFIG, Some(&unknown)),
        ),
        (
            "index-empty",
            "an index of nothing",
            true,
            shelf(|content| {
                let root = content.document(&index(&[]));
                content.artifact(HERE, &["1"], &root);
            }),
        ),
        ("at-outer-index", "an index of an index: the outer has it", true, nested(0)),
        ("at-inner-index", "an index of an index: the inner, its only child, has it", true, nested(1)),
        (
            "at-childs-child",
            "an index of an index: the image below has it, which is no child of the outer",
            false,
            nested(2),
        ),
        ("at-no-level", "an index of an index: none has it", false, nested(3)),
        (
            "child-tagged-too",
            "the index has it, its child is an artifact of its own and has not",
            false,
            child_too(false),
        ),
        (
            "child-tagged-with-its-own",
            "the index has it, its child is an artifact of its own and has its own",
            true,
            child_too(true),
        ),
        ("at-children-but-absent", "the one child that is carried has it, an absent one has not", false, sparse(false)),
        ("at-children-and-absent", "the child that is carried has it, and so has an absent one", true, sparse(true)),
        ("at-children-but-leaf", "both children have it, a third entry is a leaf", false, leafy(false)),
        ("at-children-and-leaf", "both children have it, and a third entry, which is a leaf", true, leafy(true)),
        (
            "index-of-unknown-and-other",
            "an index of what is no image, and an image for unknown/unknown",
            false,
            unknown_and_other,
        ),
        (
            "index-of-image-as-leaf",
            "an index whose one entry is a leaf, which is an image elsewhere",
            true,
            image_as_leaf,
        ),
        ("index-with-subject", "an index with a subject that nobody has", false, with_subject),
    ] {
        add_one(book, name, comment, passes, "\"application/spdx+json\"", &content);
    }
}
