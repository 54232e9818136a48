//! Errors in the document of `--json`: the text and its parts (`spec/cli.md`).

use std::fs;

use serde_json::{Value, json};

use super::shelf::{Image, noise};
use super::world::{dir, layout, packmule};

fn parts(error: &Value) -> [&Value; 3] {
    [&error["subject"], &error["expected"], &error["found"]]
}

#[test]
fn an_error_names_its_subject_and_what_was_expected_and_found() {
    let (done, _) = packmule(&["diff", "oci:a", "oci:b", "--content"], 2);
    let error = done["error"].as_object().unwrap();
    assert_eq!(error["message"], "--content: expected a bundle and a place", "{done}");
    assert_eq!(parts(&done["error"]), [&json!("--content"), &json!("a bundle and a place"), &Value::Null]);
    assert!(error.contains_key("found"), "{done}");

    layout("errors/source", &[Image::new(vec![noise(6600, 300_000)])]);
    packmule(&["export", "oci:errors/source", "-o", "errors/b", "--sign", "k.pem"], 0);
    let volume = dir().join("errors/b.0001.tar.zst");
    let size = fs::metadata(&volume).unwrap().len();
    fs::OpenOptions::new().append(true).open(&volume).unwrap().set_len(size + 1).unwrap();
    let (done, _) = packmule(&["verify", "errors/b", "--key", "k.pub.pem"], 11);
    let error = &done["error"];
    let told = [&error["expected"], &error["found"]].map(|part| part.as_str().unwrap().to_owned());
    assert_eq!(told, [format!("{size} bytes"), (size + 1).to_string()], "{done}");
    let subject = error["subject"].as_str().unwrap();
    assert!(subject.ends_with("b.0001.tar.zst"), "{done}");
    assert_eq!(error["message"], format!("{subject}: expected {}, found {}", told[0], told[1]), "{done}");

    // A fault that is no difference has no parts.
    let (done, _) = packmule(&["verify", "errors/none", "--key", "k.pub.pem"], 22);
    assert_eq!(parts(&done["error"]), [&Value::Null; 3], "{done}");
}
