//! Exports that are killed or interrupted halfway; each process by its own id.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::world::{command, dir, expected, packmule, selectors, stranger, var};

fn export(name: &str) -> Option<Vec<String>> {
    let mut args = vec!["export".to_owned()];
    args.extend(selectors(&var("PACKMULE_TEST_SOURCE")?, &expected()?));
    std::fs::create_dir_all(dir().join(Path::new(name).parent()?)).unwrap();
    args.extend(["-o", name, "--sign", "k.pem", "--volume-size", "32MiB", "-j", "1"].map(ToOwned::to_owned));
    Some(args)
}

/// Starts an export and waits until it has written content.
fn begun(args: &[&str], name: &str) -> Child {
    let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let volume = dir().join(format!("{name}.0001.tar.zst.partial"));
    while !std::fs::metadata(&volume).is_ok_and(|found| found.len() > 1 << 20) {
        assert_eq!(child.try_wait().unwrap(), None, "ended before it was interrupted");
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing was written");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Returns the volumes with final names: name and bytes.
fn volumes(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir().join(folder)).unwrap().map(|entry| entry.unwrap());
    let all = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let named = all.filter(|(name, _)| name.ends_with(".tar.zst"));
    let mut found: Vec<_> = named.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect();
    found.sort();
    found
}

#[test]
fn a_killed_export_goes_on_to_the_same_bytes() {
    let (Some(args), Some(calm)) = (export("killed/b"), export("calm/b")) else { return };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut child = begun(&args, "killed/b");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(!dir().join("killed/b.json").exists() && volumes("killed").is_empty());
    let (done, _) = packmule(&args, 0);
    assert_eq!(done["result"]["resumed"], true, "{done}");
    packmule(&calm.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    let calm = volumes("calm");
    assert!(!calm.is_empty() && volumes("killed") == calm);
    let manifest = |name: &str| std::fs::read(dir().join(name)).unwrap();
    assert_eq!(manifest("killed/b.json"), manifest("calm/b.json"));
}

#[test]
fn an_interrupted_export_ends_with_130_and_leaves_no_final_name() {
    let Some(args) = export("stopped/b") else { return };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut child = begun(&args, "stopped/b");
    stranger("kill", &["-INT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(volumes("stopped").is_empty());
    for end in [".json", ".sig.json", ".sha256"] {
        assert!(!dir().join(format!("stopped/b{end}")).exists(), "{end}");
    }
}
