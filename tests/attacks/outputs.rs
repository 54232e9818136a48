//! Rows of operator mistakes and of names made by others. A8: no output changes a file that
//! packmule did not make · A12: nothing is writable for others, whatever the umask · A13: folders
//! whose names are not UTF-8 (`spec/considerations.md`).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::shelf::{Image, noise};
use super::world::{command, dir, fresh, layout, packmule, refused, text};

/// Makes a bundle `b` and a delta over it, `d`, which fails where the base is missing, below
/// `test`.
pub(super) fn two(test: &str) {
    drop(fresh(test));
    let shared = noise(7000, 40_000);
    layout(
        &format!("{test}/source"),
        &[Image::new(vec![shared.clone()]), Image::new(vec![shared, noise(7001, 9_000)])],
    );
    let of = |tag: &str| format!("oci:{test}/source:example.org/a/b:{tag}");
    let at = |name: &str| format!("{test}/{name}");
    packmule(&["export", &of("1"), "-o", &at("b"), "--sign", "k.pem"], 0);
    packmule(&["export", &of("2"), "-o", &at("d"), "--sign", "k.pem", "--base", &at("b.json")], 0);
}

/// Returns names and contents below a folder, following links.
pub(super) fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let seen = path.symlink_metadata().unwrap();
        if seen.is_symlink() {
            found.insert(name, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec());
        } else if seen.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

/// Every option that names an output file, with this name.
fn outputs<'a>(test: &'a str, file: &'a str) -> Vec<Vec<String>> {
    let site = format!("oci:{test}-site");
    let (b, d) = (format!("{test}/b"), format!("{test}/d"));
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        of(&["verify", &b, "--key", "k.pub.pem", "--report", file]),
        of(&["verify", &b, "--key", "k.pub.pem", "--audit", file]),
        of(&["import", &d, "--key", "k.pub.pem", "--to", &site, "--wanted-out", file]),
        of(&["import", &b, "--key", "k.pub.pem", "--to", &site, "--receipt", file, "--sign", "k.pem"]),
        of(&["sign", &b, "--sign", "k.pem", "-o", file]),
        of(&["key", "new", "--no-passphrase", "-o", file]),
    ]
}

#[test]
fn a8_no_output_changes_a_file_that_packmule_did_not_make() {
    let test = "victims";
    two(test);
    let at = |name: &str| dir().join(test).join(name);
    for (from, to) in [("b.json", "copy.json"), ("../k.pem", "key.pem"), ("../k.pub.pem", "key.pub.pem")] {
        fs::copy(at(from), at(to)).unwrap();
    }
    let files = [
        ("trust.toml", "[key]\n"),
        ("packmule.toml", "# mine\n"),
        ("notes.txt", "no line feed"),
        ("notes.json", "{\"at\":\"2026-01-01T00:00:00Z\",\"mine\":1}"),
        ("images.txt", "example.org/a/b:1\n"),
        ("page.html", "<!doctype html>"),
        ("blank.txt", "\n"),
        ("r.json.partial", "half of something else"),
        ("r.sig.json", "{}"),
    ];
    files.iter().for_each(|(name, text)| fs::write(at(name), text).unwrap());
    std::os::unix::fs::symlink("notes.txt", at("link")).unwrap();
    std::os::unix::fs::symlink("nothing", at("dangling.json")).unwrap();
    let before = content(&dir().join(test));
    let mut names: Vec<String> = before.keys().map(|path| path.replace(&format!("{}/", dir().display()), "")).collect();
    names.retain(|name| !name.contains("/source/"));
    // New names that would displace their neighbours or add a file to a bundle.
    names.extend(["r.json", "b.0002.tar.zst", "b.lock", "d.plan.partial"].map(|name| format!("{test}/{name}")));
    for name in &names {
        for args in outputs(test, name) {
            let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
            words.extend(["--state", "victims-state"]);
            let is_new = !before.contains_key(&dir().join(name).display().to_string());
            // With a free name, a key or report is made.
            if is_new && name.ends_with("r.json") && !args.contains(&"--receipt".to_owned()) {
                continue;
            }
            let ended = command(&words).output().unwrap();
            let told = text(&ended.stderr);
            assert!(matches!(ended.status.code(), Some(2 | 22)), "{words:?}: {told}");
            assert!(told.contains("error: ") && told.contains("help: "), "{words:?}: {told}");
            assert_eq!(content(&dir().join(test)), before, "{words:?}: {told}");
        }
    }
    packmule(&["verify", "victims/b", "--key", "k.pub.pem"], 0);
}

/// Output of an earlier run of the same kind is replaced or continued, of another kind not.
#[test]
fn a8_what_an_earlier_run_wrote_is_known_by_its_content() {
    let test = "earlier";
    two(test);
    let at = |name: &str| format!("{test}/{name}");
    let state = ["--state", "earlier-state"];
    let run = |args: &[&str], code| packmule(&[args, &state[..]].concat(), code);
    let (b, d, site) = (at("b"), at("d"), format!("oci:{test}-site"));
    for _ in 0..2 {
        run(&["verify", &b, "--key", "k.pub.pem", "--report", &at("report"), "--audit", &at("log")], 2);
        run(&["verify", &b, "--key", "k.pub.pem", "--report", &at("x.html"), "--audit", &at("log")], 0);
        run(&["import", &d, "--key", "k.pub.pem", "--to", &site, "--wanted-out", &at("list")], 15);
    }
    assert!(fs::read_to_string(dir().join(at("list"))).unwrap().starts_with("example.org/a/b:2@sha256:"));
    let before = content(&dir().join(test));
    for (option, file, code) in [
        ("--wanted-out", "log", 2),
        ("--wanted-out", "x.html", 2),
        ("--audit", "list", 22),
        ("--audit", "x.html", 22),
        ("--report", "log", 2),
    ] {
        run(&["import", &d, "--key", "k.pub.pem", "--to", &site, option, &at(file)], code);
        assert_eq!(content(&dir().join(test)), before, "{option} {file}");
    }
}

/// An export takes a bundle's names, and no one else's files under them.
#[test]
fn a8_an_export_leaves_files_of_its_names_alone_that_are_no_bundles() {
    let test = "names";
    two(test);
    let source = format!("oci:{test}/source:example.org/a/b:1");
    for (file, bytes) in [
        ("package.json", "{\"name\":\"package\"}"),
        ("poetry.lock", "[[package]]\n"),
        ("disk.sha256", "00  disk.iso\n"),
        ("proof.sig.json", "{\"sig\":1}"),
        ("old.0001.tar.zst", "not zstd"),
        ("site.oci/notes.txt", "mine"),
    ] {
        let path = dir().join(test).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let out = format!("{test}/{}", file.split('.').next().unwrap());
        let before = content(&dir().join(test));
        for more in [&[][..], &["--overwrite"], &["--overwrite", "--flat"]] {
            refused(&[&["export", &source, "-o", &out, "--sign", "k.pem"], more].concat(), 2);
            assert_eq!(content(&dir().join(test)), before, "{file} {more:?}");
        }
    }
    packmule(&["export", &source, "-o", "names/b", "--sign", "k.pem", "--overwrite"], 0);
}

#[test]
fn a12_nothing_is_writable_for_others_whatever_the_umask() {
    let test = "open-umask";
    two(test);
    let script = r#"
        set -e; umask 000; cd open-umask; mkdir out; chmod 755 out
        more="--key ../k.pub.pem --state out/state"
        "$P" export oci:source -o out/v --sign ../k.pem
        "$P" export oci:source -o out/f --sign ../k.pem --flat
        "$P" key new -o out/key.pem --no-passphrase
        "$P" sign out/v --sign out/key.pem
        "$P" sign out/v --sign out/key.pem -o out/apart.json
        "$P" verify out/v $more --report out/v.html --audit out/log
        "$P" unpack out/v out/unpacked/deep $more
        "$P" import out/f --to oci:out/site $more --receipt out/r.json --sign ../k.pem --wanted-out out/list --report out/i.json
        "$P" export oci:source -o out/v --sign ../k.pem --overwrite
        "$P" demo out/demo >/dev/null
    "#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(dir()).env("P", env!("CARGO_BIN_EXE_packmule"));
    let ended = shell.stdout(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let mut folders = vec![dir().join(test).join("out")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o022, 0, "{} {mode:o}", path.display());
            count += 1;
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a13_bundles_lie_in_folders_whose_names_are_not_utf_8() {
    let test = "odd-names";
    two(test);
    let folder = dir().join(test).join(OsStr::from_bytes(b"usb \xff\xfe"));
    fs::create_dir(&folder).unwrap();
    let bundle = folder.join("n");
    let run = |words: &[&OsStr], code: i32| {
        let ended = command(&[]).args(words).arg("--json").output().unwrap();
        let told = text(&ended.stdout) + &text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {told}");
        told
    };
    let word = |text: &'static str| OsStr::new(text);
    let (key, state) = ([word("--key"), word("k.pub.pem")], [word("--state"), word("odd-names/state")]);
    run(
        &[word("export"), word("oci:odd-names/source"), word("-o"), bundle.as_os_str(), word("--sign"), word("k.pem")],
        0,
    );
    for path in [bundle.clone(), folder.join("n.json"), folder.clone()] {
        let path = path.as_os_str();
        run(&[&[word("verify"), path, word("--base"), path], &key[..], &state].concat(), 0);
        run(&[&[word("import"), path, word("--to"), word("oci:odd-names/site")], &key[..], &state].concat(), 0);
        run(&[word("inspect"), path, word("--check")], 0);
        run(&[word("diff"), path, path, word("--check")], 0);
        run(&[word("diff"), path, word("oci:odd-names/site"), word("--check")], 0);
        run(&[&[word("unpack"), path, folder.join("out").as_os_str()], &key[..]].concat(), 0);
        let log = folder.join("log");
        run(&[word("inspect"), path, word("--audit"), log.as_os_str(), state[0], state[1]], 0);
    }
    run(&[word("sign"), bundle.as_os_str(), word("--sign"), word("k.pem")], 0);
    let (receipt, list, page) = (folder.join("r.json"), folder.join("list"), folder.join("page.html"));
    let import = [word("import"), bundle.as_os_str(), word("--to"), word("oci:odd-names/site"), key[0], key[1]];
    let outputs = [
        word("--receipt"),
        receipt.as_os_str(),
        word("--wanted-out"),
        list.as_os_str(),
        word("--report"),
        page.as_os_str(),
    ];
    run(&[&import[..], &outputs].concat(), 0);
    run(&[word("inspect"), receipt.as_os_str()], 0);
    let next = folder.join("next");
    let base = [word("--base"), receipt.as_os_str(), word("--base"), bundle.as_os_str()];
    let export =
        [word("export"), word("oci:odd-names/source"), word("-o"), next.as_os_str(), word("--sign"), word("k.pem")];
    run(&[&export[..], &base].concat(), 0);
    // The names are those of the bundles, not invented.
    let mut names: Vec<_> =
        fs::read_dir(folder.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.as_bytes().starts_with(b"usb"));
    assert_eq!(names, [folder.file_name().unwrap()]);
    let cat = command(&[]).args([word("cat"), bundle.as_os_str()]).output().unwrap();
    fs::write(folder.join("stream"), cat.stdout).unwrap();
    run(&[&[word("verify"), folder.join("stream").as_os_str()], &key[..], &state].concat(), 0);
}
