//! `packmule key`: makes, shows and checks keys; and the private keys that other commands are given.
//!
//! Private key files stand here and not in [`crate::signing`]: passphrases and prompts are the command line's. Every
//! failure with a key is of class usage, and comes before any work.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::Session;
use super::pem::{read_file, read_public, shown, wrong};
use super::report::Outcome;
use super::world::World;
use crate::fault::{Class, Fault};
use crate::signing::key::{self, Contents, KeyError, MAX_FILE};
use crate::signing::{PublicKey, SigningKey};

/// `key …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make an Ed25519 key: a private KEY.pem and beside it KEY.pub.pem
    New {
        /// Where the private key goes; nothing is overwritten
        #[arg(short, long, value_name = "KEY.pem")]
        output: PathBuf,
        /// Leave the private key unencrypted
        #[arg(long, conflicts_with = "passphrase_file")]
        no_passphrase: bool,
        /// The first line of FILE is the passphrase
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the public key of a private one
    Public {
        /// The private key
        key: PathBuf,
        /// The first line of FILE is the passphrase
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the id of a public key
    Id {
        /// The public key
        #[arg(value_name = "PUB")]
        key: PathBuf,
    },
    /// Say what a key file is, and whether it is fit for use
    Check {
        /// The key file
        file: PathBuf,
    },
}

impl Args {
    /// # Errors
    /// Class usage; class io where a file cannot be written.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::New { output, no_passphrase, passphrase_file } => {
                new(&output, no_passphrase, passphrase_file.as_deref(), session.world)
            }
            Command::Public { key, passphrase_file } => public(&key, passphrase_file.as_deref(), session.world),
            Command::Id { key } => {
                let key = read_public(&key, session.world)?;
                Ok(Outcome::new(key.id(), json!({ "keyid": key.id() })))
            }
            Command::Check { file } => check(&file, session.world),
        }
    }
}

fn new(output: &Path, open: bool, passphrase_file: Option<&Path>, world: &mut World) -> Result<Outcome, Fault> {
    let public_output = public_path(output);
    for path in [output, &public_output] {
        if world.path(path).symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    let passphrase = match (open, passphrase_file) {
        (true, _) => None,
        (false, Some(file)) => Some(read_passphrase(file, world)?),
        (false, None) if world.terminal.stdin => Some(choose_passphrase(output, world)?),
        (false, None) => {
            let what = "key new: expected a passphrase, found no terminal to ask for one";
            return Err(Fault::new(Class::Usage, what).help("give --passphrase-file FILE, or --no-passphrase"));
        }
    };
    let fault = |error: KeyError| wrong(output, &error);
    let key = SigningKey::generate().map_err(fault)?;
    let private = key.to_pem(passphrase.as_ref().map(|text| text.as_bytes())).map_err(fault)?;
    create(output, 0o600, private.as_bytes(), world)?;
    if let Err(fault) = create(&public_output, 0o644, key.public().to_pem().as_bytes(), world) {
        // Just made here, by create_new: without its other half it is of no use.
        let _ = std::fs::remove_file(world.path(output));
        return Err(fault);
    }
    let id = key.public().id();
    let (private, public) = (shown(output), shown(&public_output));
    let text = format!("private key  {private}\npublic key   {public}\nkey id       {id}");
    let result = json!({ "privateKey": private, "publicKey": public, "keyid": id, "encrypted": passphrase.is_some() });
    Ok(Outcome::new(text, result))
}

fn public(path: &Path, passphrase_file: Option<&Path>, world: &mut World) -> Result<Outcome, Fault> {
    let key = read_private(path, passphrase_file, world)?;
    let pem = key.public().to_pem();
    Ok(Outcome::new(pem.clone(), json!({ "keyid": key.public().id(), "pem": pem })))
}

fn check(path: &Path, world: &World) -> Result<Outcome, Fault> {
    let bytes = read_file(path, world)?;
    let fault = |error: KeyError| wrong(path, &error);
    let (kind, encrypted, id) = match key::contents(&bytes).map_err(fault)? {
        Contents::Public => ("public", false, Some(PublicKey::from_pem(&bytes).map_err(fault)?.id().to_owned())),
        Contents::Private => {
            let key = SigningKey::from_pem(&bytes, None).map_err(fault)?;
            ("private", false, Some(key.public().id().to_owned()))
        }
        Contents::Encrypted => ("private", true, None),
    };
    let lock = if encrypted { ", encrypted" } else { "" };
    let mut text = format!("{}: {kind} key{lock}", shown(path));
    match &id {
        Some(id) => text.write_fmt(format_args!(", Ed25519\nkey id  {id}")),
        None => text.write_str("\nkey id  not readable without the passphrase: see `packmule key public`"),
    }
    .map_err(|_| Fault::new(Class::Bug, "key check: a string refused text"))?;
    let mut result = json!({ "kind": kind, "encrypted": encrypted });
    if let Some(id) = id {
        result["keyid"] = json!(id);
    }
    Ok(Outcome::new(text, result))
}

/// The private keys that sign, for `--sign` and `--passphrase-file`: the n-th passphrase file is the n-th
/// key's; a key that is encrypted and has none is asked for on a terminal.
///
/// # Errors
/// Class usage, before any work: a file that is no private key, or that others can read, a wrong passphrase, the
/// same key twice, more passphrases than keys.
pub fn load_signers(
    paths: &[PathBuf],
    passphrase_files: &[PathBuf],
    world: &mut World,
) -> Result<Vec<SigningKey>, Fault> {
    if passphrase_files.len() > paths.len() {
        let what =
            format!("expected at most {} --passphrase-file, one a key, found {}", paths.len(), passphrase_files.len());
        return Err(Fault::new(Class::Usage, what).help("give them in the order of --sign"));
    }
    let mut keys: Vec<SigningKey> = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let key = read_private(path, passphrase_files.get(index).map(PathBuf::as_path), world)?;
        if keys.iter().any(|other| other.public() == key.public()) {
            let what = format!("key {}: given twice", shown(path));
            return Err(Fault::new(Class::Usage, what).help("give each --sign once"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn read_private(path: &Path, passphrase_file: Option<&Path>, world: &mut World) -> Result<SigningKey, Fault> {
    let bytes = read_file(path, world)?;
    let encrypted = key::contents(&bytes) == Ok(Contents::Encrypted);
    let passphrase = match passphrase_file {
        Some(file) if encrypted => Some(read_passphrase(file, world)?),
        None if encrypted && world.terminal.stdin => Some(ask(&format!("passphrase for {}: ", shown(path)), world)?),
        _ => None,
    };
    SigningKey::from_pem(&bytes, passphrase.as_ref().map(|text| text.as_bytes())).map_err(|error| wrong(path, &error))
}

/// The first line of a passphrase file.
fn read_passphrase(path: &Path, world: &World) -> Result<Zeroizing<String>, Fault> {
    let fault = |found: &str| {
        let what = format!("passphrase file {}: expected a line of text, found {found}", shown(path));
        Fault::new(Class::Usage, what).help("put the passphrase on the first line of the file")
    };
    let file = File::open(world.path(path)).map_err(|error| fault(&error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    file.take(MAX_FILE as u64).read_to_end(&mut bytes).map_err(|error| fault(&error.to_string()))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| fault("bytes that are not UTF-8"))?;
    if text.is_empty() { Err(fault("none")) } else { Ok(Zeroizing::new(text.to_owned())) }
}

fn ask(text: &str, world: &mut World) -> Result<Zeroizing<String>, Fault> {
    world.ask_secret(text).map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return Fault::new(Class::Cancelled, "cancelled");
        }
        let what = format!("passphrase: expected an answer on the terminal, found {error}");
        Fault::new(Class::Usage, what).help("give --passphrase-file FILE")
    })
}

fn choose_passphrase(output: &Path, world: &mut World) -> Result<Zeroizing<String>, Fault> {
    let first = ask(&format!("passphrase for {}: ", shown(output)), world)?;
    if first.is_empty() {
        let what = "passphrase: expected one, found nothing";
        return Err(Fault::new(Class::Usage, what).help("type one, or give --no-passphrase"));
    }
    let second = ask("the same again: ", world)?;
    if *first == *second {
        return Ok(first);
    }
    Err(Fault::new(Class::Usage, "passphrase: expected the same twice, found two").help("run it again"))
}

/// `KEY.pem` → `KEY.pub.pem`; any other name gets `.pub.pem`.
fn public_path(output: &Path) -> PathBuf {
    let is_pem = output.extension().is_some_and(|extension| extension == "pem");
    let name = if is_pem { output.file_stem() } else { output.file_name() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".pub.pem");
    output.with_file_name(name)
}

fn create(path: &Path, mode: u32, bytes: &[u8], world: &World) -> Result<(), Fault> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => {
            Fault::new(Class::Io, format!("{}: {error}", shown(path))).help("choose a directory that you can write to")
        }
    };
    let full = world.path(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&full).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = std::fs::remove_file(&full);
        failed(error)
    })
}

fn exists(path: &Path) -> Fault {
    let what = format!("{}: expected no such file, found one", shown(path));
    Fault::new(Class::Usage, what).help("choose another name; a key is never overwritten")
}
