//! Reads the vectors of `testdata/vectors/` and verifies them through the library or the command. The
//! reader of the files is written only from their README.
//!
//! It holds no tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use packmule::base::fault::{Class, Fault};
use packmule::bundle::open;
use packmule::bundle::time::Moment;
use packmule::oci::Digest;
use packmule::operate::verify::{Request, Scope};
use packmule::signing::{Policy, PublicKey};

use crate::{Ended, flow, packmule_at};

/// The machine of the vectors, as machine-id(5) gives it.
const MACHINE: &str = "6f2a4c1b9d3e4f708192a3b4c5d6e7f8";

/// A vector, with its files written to a directory.
#[derive(Default)]
pub struct Vector {
    pub name: String,
    pub expect: String,
    pub bundle: String,
    stream: Option<String>,
    /// The trusted keys.
    pub keys: Vec<[u8; 32]>,
    pub threshold: Option<usize>,
    policy: Option<String>,
    time: Option<String>,
    state: Option<String>,
    machine: Option<String>,
    options: Vec<String>,
    signatures: Vec<String>,
}

impl Vector {
    /// Returns whether a stream is verified.
    pub const fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Returns whether it has a state.
    pub const fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Returns whether more than keys is given: a policy file, a clock, a state, detached
    /// signatures.
    pub fn has_more(&self) -> bool {
        let given = [&self.policy, &self.time, &self.state].into_iter().any(Option::is_some);
        given || !self.options.is_empty() || !self.signatures.is_empty()
    }

    /// Returns what the command verifies, in the vector's directory.
    pub fn what(&self) -> String {
        self.stream.as_ref().map_or_else(|| format!("./{}.json", self.bundle), |stream| format!("./{stream}"))
    }

    /// Returns TRUST, as given to the command, for a vector in `dir`. Key files are written to
    /// `home`.
    pub fn trust(&self, dir: &Path, home: &Path) -> Vec<String> {
        let mut trust = Vec::new();
        let mut say = |option: &str, path: PathBuf| trust.extend([option.to_owned(), path.display().to_string()]);
        for (number, key) in self.keys.iter().enumerate() {
            let file = home.join(format!("key{number}"));
            fs::write(&file, pem(key)).unwrap();
            say("--key", file);
        }
        self.policy.iter().for_each(|path| say("--policy", dir.join(path)));
        self.signatures.iter().for_each(|path| say("--signatures", dir.join(path)));
        trust.extend(self.threshold.iter().flat_map(|number| ["--threshold".to_owned(), number.to_string()]));
        trust.extend(self.options.iter().map(|option| format!("--{option}")));
        trust
    }

    /// Returns the time of its clock in seconds since 1970.
    pub fn clock(&self) -> i64 {
        self.time.as_ref().map_or(1_767_225_600, |time| Moment::parse(time).unwrap().unix())
    }

    /// Returns what the command says about it, at its time and on its machine, with only its state.
    pub fn verified(&self, dir: &Path) -> Ended {
        let home = tempfile::tempdir().unwrap();
        let mut args = vec!["verify".to_owned(), dir.join(self.what()).display().to_string()];
        args.extend(self.trust(dir, home.path()));
        let state = self.state.as_ref().map_or_else(|| home.path().join("none"), |state| dir.join(state));
        args.extend(["--state".to_owned(), state.display().to_string()]);
        if let Some(machine) = &self.machine {
            assert_eq!(*machine, Digest::sha256(format!("packmule state\n{MACHINE}").as_bytes()).hex());
            fs::create_dir(home.path().join("etc")).unwrap();
            fs::write(home.path().join("etc/machine-id"), format!("{MACHINE}\n")).unwrap();
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        packmule_at(home.path(), &args, None, self.clock())
    }
}

pub fn unhex(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    assert_eq!(text.len(), 64, "{text}");
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).unwrap();
    }
    bytes
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Reads the vector `name` and writes its files into the new directory `dir`.
pub fn lay(name: &str, dir: &Path) -> Vector {
    let bytes = fs::read(folder().join(name)).unwrap();
    let mut at = 0;
    let mut vector = Vector { name: name.to_owned(), ..Vector::default() };
    let line = |at: &mut usize| {
        let end = *at + bytes[*at..].iter().position(|byte| *byte == b'\n').expect("a line");
        let text = std::str::from_utf8(&bytes[*at..end]).expect("header lines are text").to_owned();
        *at = end + 1;
        text
    };
    assert_eq!(line(&mut at), "packmule vector 1", "{name}");
    while at < bytes.len() {
        let text = line(&mut at);
        let (key, value) = text.split_once(": ").unwrap_or_else(|| panic!("{name}: {text:?}"));
        let sized = || {
            let (file, size) = value.rsplit_once(' ').expect("NAME SIZE");
            (dir.join(file), size.parse::<u64>().expect("SIZE"))
        };
        match key {
            "expect" => value.clone_into(&mut vector.expect),
            "comment" => assert!(!value.is_empty(), "{name}: without a comment"),
            "bundle" => value.clone_into(&mut vector.bundle),
            "option" => {
                assert_eq!(value, "allow-stale", "{name}: {text}");
                vector.options.push(value.to_owned());
            }
            "form" => assert!(["stream", "flat"].contains(&value), "{name}: {value}"),
            "stream" => vector.stream = Some(value.to_owned()),
            "key" => vector.keys.push(unhex(value)),
            "threshold" => vector.threshold = Some(value.parse().unwrap()),
            "policy" => vector.policy = Some(value.to_owned()),
            "time" => vector.time = Some(value.to_owned()),
            "state" => vector.state = Some(value.to_owned()),
            "machine" => vector.machine = Some(value.to_owned()),
            "signatures" => vector.signatures.push(value.to_owned()),
            "file" => {
                let (path, size) = sized();
                let end = at + usize::try_from(size).unwrap();
                fs::write(&path, &bytes[at..end]).unwrap();
                set_mode(&path, 0o644);
                assert_eq!(bytes[end], b'\n', "{name}: {text}");
                at = end + 1;
            }
            "grow" => {
                let (path, size) = sized();
                fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap();
            }
            "link" => {
                let (path, target) = value.split_once(' ').unwrap();
                symlink(target, dir.join(path)).unwrap();
            }
            "fifo" => {
                let made = std::process::Command::new("mkfifo").arg(dir.join(value)).status().unwrap();
                assert!(made.success(), "{name}: mkfifo");
            }
            "directory" => {
                fs::create_dir(dir.join(value)).unwrap();
                set_mode(&dir.join(value), 0o755);
            }
            "mode" => {
                let (path, mode) = value.split_once(' ').unwrap();
                set_mode(&dir.join(path), u32::from_str_radix(mode, 8).unwrap());
            }
            other => panic!("{name}: unknown header {other:?}"),
        }
    }
    vector
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors")
}

pub fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    names.sort();
    names
}

pub fn verify(vector: &Vector, dir: &Path) -> Result<(), Fault> {
    if vector.has_more() {
        let ended = vector.verified(dir);
        let class = CODES.iter().find(|(code, ..)| *code == ended.code).map_or(Class::Bug, |(_, class, _)| *class);
        return if ended.code == 0 { Ok(()) } else { Err(Fault::new(class, ended.stderr)) };
    }
    let usage = |error: packmule::signing::KeyError| Fault::new(Class::Usage, error.to_string());
    let keys = vector.keys.iter().map(PublicKey::from_bytes).collect::<Result<_, _>>().map_err(usage)?;
    let policy = Policy::new(keys, vector.threshold)?;
    if let Some(stream) = &vector.stream {
        let opened = packmule::bundle::stream::open(Box::new(fs::File::open(dir.join(stream)).unwrap()), &flow())?;
        return packmule::operate::verify::run(&flow(), Request::new(opened, &policy, &Scope::default()))
            .fault
            .map_or(Ok(()), Err);
    }
    let bundle = open(&dir.join(format!("{}.json", vector.bundle)))?;
    packmule::operate::verify::run(&flow(), Request::new(bundle, &policy, &Scope::default())).fault.map_or(Ok(()), Err)
}

/// Exit codes, classes and their words (`spec/cli.md`, Exit codes).
pub const CODES: [(u8, Class, &str); 8] = [
    (10, Class::Format, "FMT"),
    (11, Class::Integrity, "INT"),
    (12, Class::Signature, "SIG"),
    (13, Class::Trust, "TRUST"),
    (14, Class::Stale, "STALE"),
    (15, Class::Policy, "POLICY"),
    (2, Class::Usage, "USAGE"),
    (22, Class::Io, "IO"),
];

pub fn class(result: &Result<(), Fault>) -> &'static str {
    let Err(fault) = result else { return "PASS" };
    CODES.iter().find(|(_, class, _)| *class == fault.class).map_or("another class", |(.., word)| word)
}

/// A public key file, as openssl writes it.
pub fn pem(key: &[u8; 32]) -> String {
    use base64ct::{Base64, Encoding as _};
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = Base64::encode_string(&[&head[..], key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}
