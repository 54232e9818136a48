//! Rows of a cloud's import, done with `copy`; each test is named after its row.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::copy::copy;
use super::server::{Reply, Request, Server, reply};
use super::shelf::{Image, Shelf, noise};
use super::world::{command, dir, expected, manifest, packmule, prefix, sha256, stranger, text, var};

fn registries() -> Option<(String, String, String)> {
    Some((var("PACKMULE_TEST_SOURCE")?, var("PACKMULE_TEST_DISTRIBUTION2")?, var("PACKMULE_TEST_CRANE")?))
}

/// An image, and a registry that holds it.
fn shelf(seed: u64) -> (Image, Shelf) {
    let image = Image::new(vec![noise(seed, 300_000), noise(seed + 1, 5000)]);
    let shelf = Shelf::plain(&[("a/b", "1", &image)]);
    (image, shelf)
}

#[test]
fn i2_latest_a_tag_a_digest_and_both() {
    let Some((source, host, crane)) = registries() else { return };
    let web = format!("{source}/corpus/app/web");
    let latest = manifest(&crane, &format!("{web}:latest"));
    let digest = sha256(&latest);
    for (name, there) in [
        (web.clone(), "corpus/app/web:latest".to_owned()),
        (format!("{web}:1.0"), "corpus/app/web:1.0".to_owned()),
        (format!("{web}@{digest}"), format!("corpus/app/web@{digest}")),
        (format!("{web}:kept@{digest}"), "corpus/app/web:kept".to_owned()),
    ] {
        let to =
            format!("{host}/{}", prefix(&format!("i2/{}", sha256(name.as_bytes()).split_at(20).0.replace(':', "-"))));
        copy(&[&name], &["--to", &to], 0);
        let same = if name.ends_with(":1.0") { manifest(&crane, &name) } else { latest.clone() };
        assert!(manifest(&crane, &format!("{to}/{there}")) == same, "{name}");
    }
}

#[test]
fn i4_sources_without_ranges_are_read_as_a_stream() {
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION2") else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let image = Image::new(vec![noise(401, 3 << 20)]);
    let whole = Shelf::plain(&[("a/b", "1", &image)]);
    let inner = whole.host().to_owned();
    // The same content, with ranges ignored.
    let source = Server::start(move |request, _| unranged(&inner, request));
    let to = format!("{host}/{}", prefix("i4"));
    copy(&[format!("{}/a/b:1", source.host)], &["--to", &to], 0);
    assert_eq!(sha256(&manifest(&crane, &format!("{to}/a/b:1"))), image.digest());
}

/// Forwards to the real registry without the range.
fn unranged(host: &str, request: &Request) -> Reply {
    let url = format!("http://{host}{}", request.path);
    let how = if request.method == "HEAD" { "-I" } else { "-i" };
    let told = stranger("curl", &["-s", how, "-H", "Accept: */*", &url]);
    let end = told.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = text(&told[..end]);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let mut answer = reply(status, told[end..].to_vec());
    for line in head.lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ")
            && ["content-type", "docker-content-digest"].contains(&name.to_ascii_lowercase().as_str())
        {
            let name = if name.len() > 12 { "Docker-Content-Digest" } else { "Content-Type" };
            answer = answer.with(name, value.to_owned());
        }
    }
    answer
}

#[test]
fn i5_each_side_has_its_credential_though_both_are_one_host() {
    let (Some(host), Some(password)) = (var("PACKMULE_TEST_HTPASSWD"), var("PACKMULE_TEST_HTPASSWD_PASSWORD")) else {
        return;
    };
    let place = dir().join("i5");
    fs::create_dir_all(&place).unwrap();
    let config = |name: &str, secret: &str| {
        format!("[credential.{name}]\nhost = \"{host}\"\nusername = \"mule\"\npassword = {{ env = \"{secret}\" }}\n")
    };
    fs::write(place.join("c.toml"), config("good", "GOOD") + &config("bad", "BAD")).unwrap();
    let (_, shelf) = shelf(501);
    let run = |from: &str, from_name: &str, to: &str, to_name: &str| {
        let args = ["copy", from, "--to", to, "--from-credential", from_name, "--to-credential", to_name];
        let ended = command(&args)
            .args(["--config", "i5/c.toml"])
            .env("GOOD", &password)
            .env("BAD", "canary-5501")
            .output()
            .unwrap();
        let told = text(&ended.stdout) + &text(&ended.stderr);
        assert!(!told.contains("canary-5501") && !told.contains(&password), "{told}");
        (ended.status.code().unwrap(), told)
    };
    let to = format!("{host}/{}", prefix("i5"));
    let (code, told) = run(&format!("{}/a/b:1", shelf.host()), "good", &to, "good");
    assert_eq!(code, 0, "{told}");
    let from = format!("{to}/a/b:1");
    for (from_name, to_name, expected) in [("good", "good", 0), ("bad", "good", 20), ("good", "bad", 21)] {
        let (code, told) = run(&from, from_name, &format!("{to}/{from_name}-{to_name}"), to_name);
        assert_eq!(code, expected, "from {from_name} to {to_name}: {told}");
    }
    let (code, told) = run(&from, "nobody", &to, "good");
    assert!(code == 2 && told.contains("nobody"), "{told}");
}

#[test]
fn i6_a_token_needs_no_user_name() {
    let Some(host) = var("PACKMULE_TEST_TOKEN") else { return };
    let (Some(realm), Some(token)) = (var("PACKMULE_TEST_TOKEN_REALM"), var("PACKMULE_TEST_TOKEN_PASSWORD")) else {
        return;
    };
    let place = dir().join("i6");
    fs::create_dir_all(&place).unwrap();
    // The token server accepts its password as a refresh token.
    let config = format!(
        "[registry.\"{host}\"]\ncredential = \"t\"\nrealm = \"{realm}\"\n[credential.t]\nhost = \"{host}\"\ntoken = {{ env = \"T\" }}\n"
    );
    fs::write(place.join("c.toml"), config).unwrap();
    let (_, shelf) = shelf(601);
    let (from, to) = (format!("{}/a/b:1", shelf.host()), format!("{host}/{}", prefix("i6")));
    let ended = command(&["copy", &from, "--to", &to, "--config", "i6/c.toml"]).env("T", &token).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
}

#[test]
fn i8_an_endpoint_in_place_of_the_name() {
    let Some((source, host, crane)) = registries() else { return };
    let place = dir().join("i8");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("c.toml"), format!("[registry.\"closed.example\"]\nendpoint = \"http://{source}\"\n"))
        .unwrap();
    let to = format!("{host}/{}", prefix("i8"));
    let args = ["copy", "closed.example/corpus/artifact/note:1", "--to", &to, "--config", "i8/c.toml"];
    packmule(&args, 0);
    let name = "corpus/artifact/note:1";
    assert_eq!(manifest(&crane, &format!("{to}/{name}")), manifest(&crane, &format!("{source}/{name}")));
}

#[test]
fn i9_refusals_of_both_sides_are_one_list() {
    let (Some(locked), Some(guarded)) = (var("PACKMULE_TEST_HTPASSWD"), var("PACKMULE_TEST_TOKEN")) else { return };
    let (_, shelf) = shelf(901);
    let names = [format!("{locked}/a/b:1"), format!("{}/a/b:1", shelf.host()), format!("{}/a/none:1", shelf.host())];
    let done = copy(&names, &["--to", &format!("{guarded}/{}", prefix("i9"))], 20);
    let told = done["error"].to_string();
    for part in [&names[0], &names[2], "login", &guarded] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(&names[1]), "{told}");
}

#[test]
fn i14_referrers_travel_filtered_by_type() {
    let Some((source, host, crane)) = registries() else { return };
    let entries = expected().unwrap();
    // A subject, its referrer, and a referrer of that with another type.
    let refers = |to: &str| entries.iter().find(|one| one.subject.as_deref() == Some(to));
    let second = entries.iter().find(|one| refers(&one.digest).is_some() && one.subject.is_some()).unwrap();
    let first = second.subject.clone().unwrap();
    let document = manifest(&crane, &format!("{source}/{}@{}", second.repository, second.digest));
    let kind: Value = serde_json::from_slice(&document).unwrap();
    let kind = kind["artifactType"].as_str().unwrap().to_owned();
    let name = format!("{source}/{}@{first}", second.repository);
    let listed = |to: &str, subject: &str| {
        let name = format!("{to}/{}:{}", second.repository, subject.replace(':', "-"));
        let ended = Command::new(&crane).args(["manifest", "--insecure", &name]).output().unwrap();
        let list: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        list["manifests"].as_array().map_or(0, Vec::len)
    };
    for (referrers, one, two) in [("none", 0, 0), (kind.as_str(), 1, 0), ("all", 1, 1)] {
        let to = format!("{host}/{}", prefix(&format!("i14{}", kind.len() + one + 2 * two)));
        copy(&[&name], &["--to", &to, "--referrers", referrers], 0);
        assert_eq!((listed(&to, &first), listed(&to, &second.digest)), (one, two), "{referrers}");
    }
}
