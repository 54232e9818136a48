//! Links to foreign files that someone left on a medium under the names of unfinished files.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Bundle, noise, packmule};

const CANARY: &[u8] = b"not the bundle's\n";

#[test]
fn a_signing_writes_through_no_link() {
    let bundle = Bundle::small("9", &[1]);
    let root = bundle.root.path();
    fs::write(root.join("canary"), CANARY).unwrap();
    symlink(root.join("canary"), bundle.path("b.sig.json.new.partial")).unwrap();
    let ended = packmule(root, &["sign", "usb/b", "--sign", "2.pem"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(fs::read(root.join("canary")).unwrap(), CANARY);
    assert!(!bundle.path("b.sig.json").is_symlink());
    let both = ["verify", "usb/b", "--key", "1.pub.pem", "--key", "2.pub.pem"];
    assert_eq!(packmule(root, &both).code, 0);
}

#[test]
fn an_export_writes_through_no_link() {
    let bundle = Bundle::new(&[noise(1, 400_000)], &[], &[1]);
    let root = bundle.root.path();
    fs::write(root.join("canary"), CANARY).unwrap();
    fs::create_dir(root.join("outside")).unwrap();
    for form in [&[][..], &["--flat"]] {
        let names = ["0001.tar.zst.partial", "docs.partial", "journal.partial", "plan.partial", "json.new.partial"];
        let all = names.iter().chain(&["sig.json.new.partial", "sha256.new.partial", "plan.partial.new.partial"]);
        for name in all.chain(&["oci.partial", "hard"]) {
            let usb = root.join("new");
            drop(fs::remove_dir_all(&usb));
            fs::create_dir(&usb).unwrap();
            match *name {
                "oci.partial" => symlink(root.join("outside"), usb.join("b.oci.partial")).unwrap(),
                "hard" => fs::hard_link(root.join("canary"), usb.join("b.0001.tar.zst.partial")).unwrap(),
                _ => symlink(root.join("canary"), usb.join(format!("b.{name}"))).unwrap(),
            }
            let export = ["export", "oci:source", "-o", "new/b", "--sign", "1.pem"];
            let ended = packmule(root, &[&export[..], form].concat());
            assert!(ended.code == 0 || ended.code == 22, "{name}: {} {}", ended.code, ended.stderr);
            assert_eq!(fs::read(root.join("canary")).unwrap(), CANARY, "{name}");
            assert_eq!(fs::read_dir(root.join("outside")).unwrap().count(), 0, "{name}");
            if ended.code == 0 {
                assert_eq!(packmule(root, &["verify", "new/b", "--key", "1.pub.pem"]).code, 0, "{name}");
            }
        }
    }
}
