//! Rows B1, B16 and B17: files that are not bundles, and things that are not plain files. Nothing
//! may hang.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use packmule::base::fault::{Class, Fault};
use packmule::operate::verify::Scope;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{Bundle, assert_class, noise, packmule, verdict};

/// Returns the refusal, which must come within a generous time limit.
fn in_time(bundle: &Bundle, what: &str) -> Fault {
    let (sender, receiver) = mpsc::channel();
    let dir = bundle.dir();
    std::thread::spawn(move || sender.send(verdict(&dir, &Scope::default()).fault));
    let fault = receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what}: it hangs"));
    fault.unwrap_or_else(|| panic!("{what}: PASS"))
}

#[test]
fn b1_not_a_bundle() {
    let bundle = Bundle::small("9", &[1]);
    let elf = fs::read(std::env::current_exe().unwrap()).unwrap()[..100_000].to_vec();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("one byte", vec![b'{']),
        ("noise", noise(3, 1 << 20)),
        ("a program", elf),
        ("text", b"not a bundle at all\n".to_vec()),
        ("a json of something else", b"{\"a\":1}".to_vec()),
    ] {
        // As a manifest; also without a signature file, which is only checked later.
        let fault = bundle.with("b.json", &bytes, || {
            let ended = bundle.command();
            assert!(matches!(ended.code, 10 | 12), "{what}: {}", ended.stderr);
            bundle.refusal(what)
        });
        let expected = if what.starts_with("a json") { Class::Signature } else { Class::Format };
        assert_class(&fault, expected, what);
        // As a file that is given by name.
        fs::write(bundle.root.path().join("file.bin"), &bytes).unwrap();
        let ended = packmule(bundle.root.path(), &["verify", "file.bin", "--key", "1.pub.pem"]);
        assert_eq!(ended.code, 10, "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains("not a bundle"), "{what}: {}", ended.stderr);
    }
}

#[test]
fn b16_sparse_terabytes_are_refused_by_their_size() {
    let bundle = Bundle::small("9", &[1]);
    for (file, class) in [("b.0001.tar.zst", Class::Integrity), ("b.json", Class::Format)] {
        let good = fs::read(bundle.path(file)).unwrap();
        fs::OpenOptions::new().write(true).open(bundle.path(file)).unwrap().set_len(1 << 40).unwrap();
        assert_class(&in_time(&bundle, file), class, file);
        fs::write(bundle.path(file), good).unwrap();
    }
    assert!(bundle.verdict().is_good());
}

#[test]
fn b17_links_pipes_sockets_and_directories_beside_a_bundle() {
    type Make = fn(&Path, &Path);
    let kinds: [(&str, Make); 6] = [
        ("link to the right bytes", |path, good| std::os::unix::fs::symlink(good, path).unwrap()),
        ("link to itself", |path, _| std::os::unix::fs::symlink(path, path).unwrap()),
        ("link to a device", |path, _| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("pipe", |path, _| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap()),
        ("socket", |path, _| drop(UnixListener::bind(path).unwrap())),
        ("directory", |path, _| fs::create_dir(path).unwrap()),
    ];
    let bundle = Bundle::small("9", &[1]);
    let good = bundle.root.path().join("good");
    for file in ["b.0001.tar.zst", "b.sig.json", "b.json", "b.sha256"] {
        let path = bundle.path(file);
        fs::rename(&path, &good).unwrap();
        for (kind, make) in kinds {
            make(&path, &good);
            let what = format!("{file} is a {kind}");
            let fault = in_time(&bundle, &what);
            assert_class(&fault, Class::Io, &what);
            assert!(fault.what.contains(file), "{what}: {fault:?}");
            if kind == "directory" { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
        }
        fs::rename(&good, &path).unwrap();
        assert!(bundle.verdict().is_good(), "{file} restored");
    }
}
