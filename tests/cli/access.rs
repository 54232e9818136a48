//! Registries that require a login, and one that lists referrers itself.

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use super::world::{command, dir, expected, manifest, packmule, prefix, stranger, text, var};

/// Writes an auth file for `host`; returns its name.
fn login(name: &str, host: &str, password: &str) -> String {
    let auth = Base64::encode_string(format!("mule:{password}").as_bytes());
    let file = format!("{name}.auth.json");
    let mut auths = json!({});
    auths[host] = json!({ "auth": auth });
    std::fs::write(dir().join(&file), json!({ "auths": auths }).to_string()).unwrap();
    file
}

/// Into a protected registry and out again; a wrong password is refused both ways and not shown.
fn through(name: &str, variable: &str, realm: Option<&str>) {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var(variable)) else { return };
    let Some(password) = var(&format!("{variable}_PASSWORD")) else { return };
    let mut more = Vec::new();
    if let Some(realm) = realm {
        let Some(realm) = var(realm) else { return };
        more.extend(["--realm".to_owned(), format!("{host}={realm}")]);
    }
    std::fs::create_dir_all(dir().join(name)).unwrap();
    let (out, back) = (format!("{name}/out"), format!("{name}/back"));
    packmule(&["export", &format!("{source}/corpus/artifact/note:1"), "-o", &out, "--sign", "k.pem"], 0);
    let to = format!("{host}/{}", prefix(name));
    let stored = format!("{to}/corpus/artifact/note:1");
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let import = |file: &str| {
        [&["import", &out, "--key", "k.pub.pem", "--to", &to, "--authfile", file], &*more]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let export = |file: &str| {
        [&["export", &stored, "-o", &back, "--sign", "k.pem", "--authfile", file], &*more]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let wrong = login(&format!("{name}-wrong"), &host, "not-the-secret-1");
    let right = login(name, &host, &password);
    let refused = |args: Vec<String>, code| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ended = command(&args).output().unwrap();
        let told = text(&ended.stderr) + &text(&ended.stdout);
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(!told.contains("not-the-secret-1") && !told.contains(&Base64::encode_string(b"mule:not-the-secret-1")));
    };
    let good = |args: Vec<String>| packmule(&args.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    refused(import(&wrong), 21);
    good(import(&right));
    refused(export(&wrong), 20);
    let (done, _) = good(export(&right));
    assert_eq!(done["result"]["artifacts"][0]["tags"], json!(["1"]), "{done}");
}

#[test]
fn a_registry_with_passwords_takes_the_authfile() {
    through("htpasswd", "PACKMULE_TEST_HTPASSWD", None);
}

#[test]
fn a_registry_with_tokens_takes_the_authfile() {
    through("token", "PACKMULE_TEST_TOKEN", Some("PACKMULE_TEST_TOKEN_REALM"));
}

#[test]
fn referrers_travel_through_a_registry_that_lists_them() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_REFERRERS")) else { return };
    let (Some(crane), Some(oras)) = (var("PACKMULE_TEST_CRANE"), var("PACKMULE_TEST_ORAS")) else { return };
    let Some(entries) = expected() else { return };
    std::fs::create_dir_all(dir().join("api")).unwrap();
    let to = format!("{host}/{}", prefix("api"));
    let (there, name) = (format!("{source}/corpus/base:bookworm"), format!("{to}/corpus/base:bookworm"));
    let (out, _) = packmule(&["export", &there, "-o", "api/out", "--sign", "k.pem"], 0);
    packmule(&["import", "api/out", "--key", "k.pub.pem", "--to", &to], 0);
    assert_eq!(manifest(&crane, &name), manifest(&crane, &there));
    let args = ["discover", "--plain-http", "--distribution-spec", "v1.1-referrers-api", "--format", "json", &name];
    let found: Value = serde_json::from_slice(&stranger(&oras, &args)).unwrap();
    // This registry takes the config's type for the artifact's, so only digests can be compared.
    let listed = found.to_string();
    let base: Vec<_> = entries.iter().filter(|one| one.repository == "corpus/base").collect();
    let is_child = |digest: &String| base.iter().any(|one| one.kind == "child" && one.digest == *digest);
    let below = base.iter().filter(|one| one.subject.as_ref().is_some_and(|subject| !is_child(subject)));
    let below: Vec<&str> = below.map(|one| one.digest.as_str()).collect();
    assert_eq!(below.len(), 2, "the SBOM of the index and its signature");
    assert!(below.iter().all(|digest| listed.contains(digest)), "{below:?}: {listed}");
    let (back, _) = packmule(&["export", &name, "-o", "api/back", "--sign", "k.pem"], 0);
    let digests = |done: &Value| {
        let all = done["result"]["artifacts"].as_array().unwrap().iter();
        let mut all: Vec<String> = all.map(|one| one["digest"].to_string()).collect();
        all.sort();
        all
    };
    assert!(digests(&out).len() == 4 && digests(&out) == digests(&back), "{out}\n{back}");
}
