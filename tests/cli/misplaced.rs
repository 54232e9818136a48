//! Things in the wrong place, as they are typed: a list for an artifact, a volume for its bundle, one
//! key for another; and one cause that makes many things fail.

use std::fs;

use super::receipts::two;
use super::world::{command, dir, packmule, refused, text, var};

#[test]
fn a_list_is_not_asked_for_at_docker_hub() {
    fs::create_dir_all(dir().join("misplaced")).unwrap();
    fs::write(dir().join("misplaced/images.txt"), "alpine:3.20\n").unwrap();
    let told = refused(&["export", "misplaced/images.txt", "-o", "misplaced/b", "--sign", "k.pem"], 2);
    assert!(told.contains("-f misplaced/images.txt") && told.contains("file:misplaced/images.txt"), "{told}");
    let (listed, _) = packmule(&["export", "-f", "misplaced/images.txt", "--list"], 0);
    assert_eq!(listed["result"]["references"].as_array().unwrap().len(), 1, "{listed}");
}

/// Makes a bundle of two volumes in `test/one`, moves the second to `test/two`.
fn apart(test: &str) {
    let place = dir().join(test);
    drop(fs::remove_dir_all(&place));
    fs::create_dir_all(place.join("one")).unwrap();
    fs::create_dir_all(place.join("two")).unwrap();
    fs::write(place.join("content"), super::shelf::noise(77, 33 << 20)).unwrap();
    let from = format!("file:{test}/content,as=localhost/content:1");
    let to = format!("{test}/one/twin");
    packmule(&["export", &from, "-o", &to, "--sign", "k.pem", "--volume-size", "32MiB"], 0);
    fs::rename(place.join("one/twin.0002.tar.zst"), place.join("two/twin.0002.tar.zst")).unwrap();
}

#[test]
fn a_volume_says_whose_it_is_and_where_the_manifest_is() {
    apart("volume");
    for command in [&["verify"][..], &["inspect"], &["import", "--to", "oci:volume/site"]] {
        let run = |bundle: &str, code: i32| {
            let key: &[&str] = if command[0] == "inspect" { &[] } else { &["--key", "k.pub.pem"] };
            refused(&[&command[..1], &[bundle], key, &command[1..]].concat(), code)
        };
        let first = run("volume/one/twin.0001.tar.zst", 2);
        assert!(first.contains("volume 1 of twin") && first.contains("name the bundle: volume/one/twin"), "{first}");
        for second in ["volume/two/twin.0002.tar.zst", "volume/two"] {
            let told = run(second, 22);
            assert!(told.contains("volume 2 of twin; its manifest is on another medium"), "{second}: {told}");
            assert!(!told.contains("REFUSED"), "{told}");
        }
    }
    let words = ["verify", "volume/one/twin", "--key", "k.pub.pem", "--volume-dir", "volume/two"];
    assert_eq!(packmule(&words, 0).0["ok"], true);
}

#[test]
fn a_missing_signature_is_told_by_the_name_of_its_key() {
    two("which", 9840);
    packmule(&["key", "new", "-o", "which/other.pem", "--no-passphrase"], 0);
    let id = packmule(&["key", "id", "which/other.pub.pem"], 0).0["result"].to_string();
    let id = id.split('"').find(|part| part.len() == 64).unwrap();
    let both = refused(&["verify", "which/b", "--key", "k.pub.pem", "--key", "which/other.pub.pem"], 13);
    assert!(both.contains("by k.pub.pem (") && both.contains(&format!("not by which/other.pub.pem ({id})")), "{both}");
    let wrong = refused(&["verify", "which/b", "--key", "which/other.pub.pem"], 13);
    assert!(wrong.contains(&format!("expected a signature by which/other.pub.pem ({id})")), "{wrong}");
}

#[test]
fn a_missing_login_is_one_line_and_says_how_to_log_in() {
    let Some(host) = var("PACKMULE_TEST_HTPASSWD") else { return };
    let names: Vec<String> = (1..=12).map(|number| format!("{host}/some/app{number}:1")).collect();
    let mut args = vec!["export"];
    args.extend(names.iter().map(String::as_str));
    args.extend(["-o", "login-missing", "--sign", "k.pem"]);
    let ended = command(&args).env("HOME", dir()).output().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(20), "{told}");
    let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("12 requests"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("help: ")).count(), 1, "{told}");
    assert!(told.contains(&format!("packmule login {host}")), "{told}");
    let (document, _) = packmule(&args, 20);
    assert_eq!(document["error"]["others"].as_array().map(Vec::len), Some(11), "each is in the document");
}
