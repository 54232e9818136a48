//! Runs README's quick tour unchanged, except for the places: the names of hosts and of the medium
//! are this run's.

use std::path::Path;
use std::process::Command;

use super::world::{dir, manifest, prefix, sha256, text, var};

/// Returns the commands of the section, each block a few lines.
fn tour() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("A quick tour")).expect("the section");
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("a closing fence").0).collect();
    assert!(blocks.len() >= 3, "exporter, guard, importer: {blocks:?}");
    blocks.concat()
}

#[test]
fn the_quick_tour_of_the_readme_works() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let to = format!("{host}/{}", prefix("tour"));
    let (Some(locked), Some(password)) = (var("PACKMULE_TEST_HTPASSWD"), var("PACKMULE_TEST_HTPASSWD_PASSWORD")) else {
        return;
    };
    let mut script = tour();
    for (written, here) in [
        // There is no terminal to ask for a passphrase.
        ("packmule key new -o release.pem", "packmule key new -o release.pem --no-passphrase".to_owned()),
        (
            "packmule login registry.example:5000 -u mule",
            format!(
                "printf %s \"$PASSWORD\" | packmule login {locked} -u mule --password-stdin --authfile ./auth.json"
            ),
        ),
        ("mirror/library/alpine --digests", "mirror/corpus/base --digests".to_owned()),
        ("docker.io/library/alpine:3.20", format!("{source}/corpus/base:bookworm")),
        ("quay.io/team/app:1.4", format!("{source}/corpus/app/web:1.0")),
        ("quay.io/team/app:1.5", format!("{source}/corpus/app/mixed:v1.2.3")),
        ("/media/usb/", "./usb/".to_owned()),
        ("registry.example:5000/mirror", to.clone()),
    ] {
        assert!(script.contains(written), "{written}: in {script}");
        script = script.replace(written, &here);
    }
    let place = dir().join("tour");
    std::fs::create_dir_all(place.join("usb")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_packmule")).parent().unwrap();
    let path = std::env::join_paths([bin, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let ended = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(&place)
        .env_clear()
        .env("PATH", path)
        .env("PASSWORD", password)
        .output()
        .expect("sh runs");
    let told = text(&ended.stdout) + &text(&ended.stderr);
    assert!(ended.status.success(), "{script}\n{told}");
    assert!(told.contains("PASS"), "{told}");
    let before = manifest(&crane, &format!("{source}/corpus/base:bookworm"));
    let after = manifest(&crane, &format!("{to}/corpus/base:bookworm"));
    assert_eq!(sha256(&before), sha256(&after));
    manifest(&crane, &format!("{to}/corpus/app/web:1.0"));
    manifest(&crane, &format!("{to}/corpus/app/mixed:v1.2.3"));
}
