//! Runs what README shows first: the commands of "Try it", whose output it prints, and its recipes,
//! unchanged except for the places.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::world::{dir, text};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Returns the section with this title, up to the next one.
fn section(title: &str) -> String {
    let readme = readme();
    let found = readme.split("\n## ").find(|section| section.lines().next() == Some(title));
    found.expect("the section").to_owned()
}

/// Returns an empty folder of this test, with the artifacts of `demo` in it.
fn place(test: &str) -> PathBuf {
    let place = dir().join(test);
    std::fs::create_dir_all(&place).unwrap();
    let made = shell(&place, "packmule demo");
    assert!(made.status.success(), "{}", text(&made.stderr));
    place
}

fn shell(place: &Path, script: &str) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_packmule")).parent().unwrap();
    let path = std::env::join_paths([bin, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", script]).current_dir(place).env_clear().env("PATH", path);
    command.env("PACKMULE_STATE", "state").output().expect("sh runs")
}

/// Replaces digests and key ids by `…`.
fn without_digests(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let hex = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        out.push_str(&if hex.len() == 64 { word.replacen(hex, "…", 1) } else { word.to_owned() });
    }
    out
}

#[test]
fn the_first_commands_print_what_the_readme_shows() {
    let section = section("Try it");
    let console = section.split_once("```console\n").unwrap().1.split_once("```").unwrap().0;
    let place = place("readme-try");
    let mut commands = 0;
    for part in console.split("$ ").skip(1) {
        let (command, expected) = part.split_once('\n').unwrap();
        let ended = shell(&place, command);
        assert!(ended.status.success(), "{command}: {}", text(&ended.stderr));
        assert_eq!(without_digests(&text(&ended.stdout)), expected, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 3);
}

#[test]
fn the_recipes_of_the_readme_work() {
    let section = section("Recipes");
    let place = place("readme-recipes");
    for folder in ["one", "two", "out", "again"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    let made = shell(&place, "packmule key new -o release.pem --no-passphrase");
    assert!(made.status.success());
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(blocks.len(), 3);
    for (number, block) in blocks.into_iter().enumerate() {
        let mut script = block.to_owned();
        for (written, here) in [
            ("docker.io/library/alpine:3.20", "oci:packmule-demo/source"),
            ("docker.io/library/alpine:latest", "oci:packmule-demo/source:tide:1.4,as=docker.io/library/alpine:latest"),
            ("/media/", "./"),
            ("registry.example:5000/mirror", "oci:mirror"),
        ] {
            script = script.replace(written, here);
        }
        if number == 1 {
            // The stick is lost.
            std::fs::remove_file(place.join("two/november.0002.tar.zst")).unwrap();
        }
        if number == 2 {
            // The tag moves between the two months.
            let second = "packmule export oci:packmule-demo/source:tide:1.4,";
            let at = script.rfind(second).unwrap();
            let moved = script[at..].replacen("tide:1.4", "models/tide:small", 1);
            script.replace_range(at.., &moved);
        }
        let ended = shell(&place, &script);
        let told = text(&ended.stdout) + &text(&ended.stderr);
        assert!(ended.status.success(), "{script}\n{told}");
        assert!(told.contains(["imported", "PASS", "base-2"][number]), "{told}");
    }
}
