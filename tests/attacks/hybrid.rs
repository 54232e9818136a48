//! Two keys of one holder that must both sign, with two algorithms: Ed25519 and ML-DSA, from making
//! the keys to the import; in builds without ML-DSA, two Ed25519 keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use packmule::signing::Envelope;

use crate::Bundle;

struct Desk(Bundle);

impl Desk {
    fn new(second: &str) -> Self {
        let desk = Self(Bundle::small("9", &[]));
        for (name, kind) in [("classic", "ed25519"), ("second", second)] {
            desk.run(&format!("key new -o {name}.pem --type {kind} --no-passphrase"), 0);
        }
        let policy = "[key]\nrelease = { public = [\"classic.pub.pem\", \"second.pub.pem\"], holder = \"desk\", role = \"release\" }\n\
                      [no_channel]\nkeys = [\"release\"]\n";
        fs::write(desk.0.root.path().join("trust.toml"), policy).unwrap();
        desk
    }

    fn run(&self, words: &str, code: u8) -> String {
        self.0.run(words, code)
    }

    fn verify(&self, code: u8) -> String {
        self.run("verify usb/b --policy trust.toml", code)
    }

    /// Both must have signed, and both signatures must be valid.
    fn walk(&self) {
        self.verify(12);
        self.run("sign usb/b --sign classic.pem", 0);
        let told = self.verify(13);
        assert!(told.contains("1 distinct holders, found 0"), "{told}");
        self.run("sign usb/b --sign second.pem -o second.sig.json", 0);
        self.run("verify usb/b --policy trust.toml --signatures second.sig.json", 0);
        self.run("import usb/b --policy trust.toml --to oci:site", 13);
        self.run("sign usb/b --merge second.sig.json", 0);
        assert_eq!(self.verify(0).matches("desk (release)").count(), 2);
        self.run("import usb/b --policy trust.toml --to oci:site", 0);
        let path = self.0.path("b.sig.json");
        let good = Envelope::parse(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(good.signatures.len(), 2);
        for index in 0..2 {
            let mut bad = good.clone();
            let end = bad.signatures[index].sig.len() - 1;
            bad.signatures[index].sig[end / 2] ^= 1;
            fs::write(&path, bad.to_bytes()).unwrap();
            assert!(self.verify(12).contains("bad signature"));
            let mut bad = good.clone();
            bad.signatures[index].sig.pop();
            fs::write(&path, bad.to_bytes()).unwrap();
            self.verify(12);
            // Without it, the other does not count for both.
            let mut one = good.clone();
            one.signatures.remove(index);
            fs::write(&path, one.to_bytes()).unwrap();
            self.verify(13);
        }
    }
}

#[test]
fn s18_one_entry_with_two_ed25519_keys() {
    Desk::new("ed25519").walk();
}

#[test]
fn s18_one_entry_with_ed25519_and_ml_dsa() {
    for (kind, name, public, signature) in
        [("ml-dsa-65", "ML-DSA-65", 1952, 3309), ("ml-dsa-87", "ML-DSA-87", 2592, 4627)]
    {
        let desk = Desk::new(kind);
        desk.walk();
        let file = |name: &str| fs::read(desk.0.root.path().join(name)).unwrap();
        let envelope = Envelope::parse(&file("second.sig.json")).unwrap();
        assert_eq!(envelope.signatures[0].sig.len(), signature);
        let key = packmule::signing::PublicKey::from_pem(&file("second.pub.pem")).unwrap();
        assert_eq!((key.as_bytes().len(), key.algorithm().name()), (public, name));
        for file in ["second.pem", "second.pub.pem"] {
            let told = desk.run(&format!("key check {file}"), 0);
            assert!(told.contains(name) && told.contains(key.id()), "{told}");
        }
        assert_eq!(desk.run("key public second.pem", 0), key.to_pem());
        // With a passphrase, like any other key.
        let passphrase = desk.0.root.path().join("p");
        fs::write(&passphrase, "high tide").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        desk.run(&format!("key new -o locked.pem --type {kind} --passphrase-file p"), 0);
        assert!(desk.run("key check locked.pem", 0).contains("encrypted"));
        desk.run("sign usb/b --sign locked.pem --passphrase-file p -o locked.sig.json", 0);
        desk.run("verify usb/b --key locked.pub.pem --signatures locked.sig.json", 0);
        // A raw signature made elsewhere.
        fs::write(desk.0.root.path().join("raw"), &envelope.signatures[0].sig).unwrap();
        desk.run("sign usb/b --attach raw --key second.pub.pem -o attached", 0);
        desk.run("sign usb/b --attach raw --key locked.pub.pem -o never", 12);
    }
}
