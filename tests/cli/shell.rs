//! `completions` and `man`: the scripts complete in a shell, and the pages are all there.

use std::fs;
use std::process::Command;

use super::world::{command, dir, packmule, refused, text};

#[test]
fn bash_completes_commands_and_options() {
    let script = command(&["completions", "bash"]).output().unwrap();
    assert!(script.status.success());
    fs::write(dir().join("packmule.bash"), &script.stdout).unwrap();
    for (words, wanted) in [("exp", "export"), ("emit helm", "helm-values"), ("verify --thr", "--threshold")] {
        let all: Vec<&str> = words.split(' ').collect();
        let (last, before) = (all[all.len() - 1], if all.len() > 1 { all[all.len() - 2] } else { "packmule" });
        let ask = format!(
            ". ./packmule.bash; COMP_WORDS=(packmule {words}); COMP_CWORD={}; _packmule packmule '{last}' '{before}'; \
             echo \"${{COMPREPLY[@]}}\"",
            all.len()
        );
        let ended = Command::new("bash").args(["-c", &ask]).current_dir(dir()).output().unwrap();
        assert_eq!(text(&ended.stdout).trim(), wanted, "{words}: {}", text(&ended.stderr));
    }
    for shell in ["elvish", "fish", "powershell", "zsh"] {
        let ended = command(&["completions", shell]).output().unwrap();
        assert!(ended.status.success() && text(&ended.stdout).contains("tag-conflict"), "{shell}");
    }
    refused(&["completions", "sh"], 2);
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let (done, _) = packmule(&["man", "man1"], 0);
    let files = done["result"]["files"].as_array().unwrap();
    assert!(files.len() > 20 && files.iter().all(|file| file["state"] == "written"), "{done}");
    for (page, word) in
        [("packmule", "places without a network"), ("packmule-export", "volume"), ("packmule-key-new", "passphrase")]
    {
        let text = fs::read_to_string(dir().join(format!("man1/{page}.1"))).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH OPTIONS") && text.contains(word), "{page}: {text}");
    }
    let export = fs::read_to_string(dir().join("man1/packmule-export.1")).unwrap();
    assert!(export.contains("Write one JSON document") && export.contains("packmule export alpine:3.20"), "{export}");
    assert!(!dir().join("man1/packmule-container-reader.1").exists(), "it is for no one to type");
    let printed = command(&["man"]).output().unwrap();
    assert_eq!(text(&printed.stdout), fs::read_to_string(dir().join("man1/packmule.1")).unwrap());
    let (again, _) = packmule(&["man", "man1"], 0);
    assert!(again["result"]["files"].as_array().unwrap().iter().all(|file| file["state"] == "unchanged"));
    fs::write(dir().join("man1/packmule-cat.1"), "mine").unwrap();
    refused(&["man", "man1"], 2);
    assert_eq!(fs::read_to_string(dir().join("man1/packmule-cat.1")).unwrap(), "mine");
}
