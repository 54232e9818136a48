//! Row B14: volumes that are missing, renamed, from another bundle, or extra.

use std::fs;

use packmule::base::fault::{Class, Fault};
use packmule::operate::verify::Scope;

use crate::{Bundle, assert_class, noise, verdict};

fn names(fault: &Fault, text: &str) -> bool {
    std::iter::once(fault).chain(&fault.others).any(|fault| fault.what.contains(text))
}

fn refused(bundle: &Bundle, what: &str) -> Fault {
    let fault = verdict(&bundle.dir(), &Scope::default()).fault;
    let fault = fault.unwrap_or_else(|| panic!("{what}: PASS"));
    assert_class(&fault, Class::Integrity, what);
    fault
}

#[test]
fn b14_a_volume_of_several_missing_renamed_swapped_or_extra() {
    let bundle = Bundle::new(&[noise(1, 40 << 20)], &["--level", "0", "--volume-size", "32MiB"], &[1]);
    let (one, two) = (bundle.path("b.0001.tar.zst"), bundle.path("b.0002.tar.zst"));
    let (three, aside) = (bundle.path("b.0003.tar.zst"), bundle.path("aside"));
    assert!(two.is_file() && !three.exists());
    let id = bundle.verdict().bundle.unwrap().id().to_string();

    for (number, path) in [(1, &one), (2, &two)] {
        fs::rename(path, &aside).unwrap();
        let fault = refused(&bundle, "missing");
        assert!(names(&fault, &format!("need volume {number} of bundle {id}")), "{fault:?}");
        // The other one can be checked separately.
        let other = Scope { volumes: vec![3 - number], ..Scope::default() };
        assert!(verdict(&bundle.dir(), &other).is_good(), "volume {} alone", 3 - number);
        assert!(!verdict(&bundle.dir(), &Scope { volumes: vec![number], ..Scope::default() }).is_good());
        fs::rename(&aside, path).unwrap();
    }

    fs::rename(&two, &three).unwrap();
    let fault = refused(&bundle, "renamed");
    assert!(names(&fault, "need volume 2") && names(&fault, "b.0003.tar.zst: extra"), "{fault:?}");
    fs::rename(&three, &two).unwrap();

    fs::rename(&one, &aside).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&aside, &two).unwrap();
    let fault = refused(&bundle, "swapped");
    assert!(names(&fault, "b.0001.tar.zst") && names(&fault, "b.0002.tar.zst"), "{fault:?}");
    fs::rename(&two, &aside).unwrap();
    fs::rename(&one, &two).unwrap();
    fs::rename(&aside, &one).unwrap();

    for extra in ["b.0000.tar.zst", "b.0003.tar.zst", "b.9999.tar.zst"] {
        fs::hard_link(&two, bundle.path(extra)).unwrap();
        let fault = refused(&bundle, extra);
        assert!(names(&fault, &format!("{extra}: extra")), "{fault:?}");
        // An import checks this before its first push.
        let import = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"];
        let ended = crate::packmule(bundle.root.path(), &import);
        assert_eq!(ended.code, 11, "{extra}: {}", ended.stderr);
        fs::remove_file(bundle.path(extra)).unwrap();
    }
    assert!(bundle.verdict().is_good(), "restored");
}

#[test]
fn b14_another_bundles_volume_of_the_same_size() {
    let make = |seed| Bundle::new(&[noise(seed, 3000)], &["--level", "0"], &[1]);
    let (bundle, other) = (make(1), make(2));
    let foreign = fs::read(other.path("b.0001.tar.zst")).unwrap();
    assert_eq!(foreign.len(), fs::read(bundle.path("b.0001.tar.zst")).unwrap().len());
    let fault = bundle.with("b.0001.tar.zst", &foreign, || bundle.refusal("foreign"));
    assert_class(&fault, Class::Integrity, "foreign");
    assert!(std::iter::once(&fault).chain(&fault.others).all(|fault| fault.what.contains("volume b.0001.tar.zst, ")));
    // The other files of another bundle do not fit these volumes either.
    for (file, class) in
        [("b.json", Class::Signature), ("b.sig.json", Class::Signature), ("b.sha256", Class::Integrity)]
    {
        let foreign = fs::read(other.path(file)).unwrap();
        assert_class(&bundle.with(file, &foreign, || bundle.refusal(file)), class, file);
    }
    assert_eq!(bundle.command().code, 0);
}

#[test]
fn b14_a_renamed_bundle() {
    let bundle = Bundle::small("9", &[1]);
    for end in ["json", "sig.json", "0001.tar.zst", "sha256"] {
        fs::rename(bundle.path(&format!("b.{end}")), bundle.path(&format!("c.{end}"))).unwrap();
    }
    let ended = crate::packmule(bundle.root.path(), &["verify", "usb/c", "--key", "1.pub.pem"]);
    assert_eq!(ended.code, 10, "{}", ended.stderr);
    assert!(ended.stderr.contains("expected name"), "{}", ended.stderr);
}
