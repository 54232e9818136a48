//! `packmule key`: makes, shows and checks keys.
//!
//! Every problem with a key is a fault of class usage, found before any work.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use crate::base::fault::{Class, Fault, differs};
use crate::cli::Session;
use crate::cli::output::Outcome;
use crate::cli::pem::{read_file, read_public, shown, wrong};
use crate::cli::world::World;
use crate::cli::writing::newfile::{check as check_new, create};
use crate::cli::writing::passphrase;
use crate::cli::writing::signers::load_signers;
use crate::signing::key::{self, Contents, KeyError};
use crate::signing::private::SigningKey;
use crate::signing::{Algorithm, PublicKey};

/// `key …`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a key pair: the private KEY.pem, and KEY.pub.pem next to it
    New {
        /// File for the private key; nothing is overwritten
        #[arg(short, long, value_name = "KEY.pem")]
        output: PathBuf,
        /// Signature algorithm of the key
        #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t)]
        kind: Kind,
        /// Leave the private key unencrypted
        #[arg(long, conflicts_with = "passphrase_file")]
        no_passphrase: bool,
        /// File whose first line is the passphrase, or systemd:NAME for a unit's credential
        /// [default: ask]
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the public key of a private key
    Public {
        /// Private key: a PEM file, or pkcs11:…
        key: PathBuf,
        /// File whose first line is the passphrase, or systemd:NAME for a unit's credential
        /// [default: ask]
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the id of a public key
    Id {
        /// Public key (PEM)
        #[arg(value_name = "PUB")]
        key: PathBuf,
    },
    /// Show what kind of key a file holds, and whether it can be used
    Check {
        /// Key file
        file: PathBuf,
    },
}

/// Types of keys that `key new` makes.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Kind {
    /// Short signatures, which every version can check
    #[default]
    Ed25519,
    /// Post-quantum signatures, for use in addition to an Ed25519 key
    #[value(name = "ml-dsa-65")]
    MlDsa65,
    /// Like ml-dsa-65, with a larger security margin
    #[value(name = "ml-dsa-87")]
    MlDsa87,
}

impl From<Kind> for Algorithm {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ed25519 => Self::Ed25519,
            Kind::MlDsa65 => Self::MlDsa(key::Set::MlDsa65),
            Kind::MlDsa87 => Self::MlDsa(key::Set::MlDsa87),
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class io if a file cannot be written.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        match self.command {
            Command::New { output, kind, no_passphrase, passphrase_file } => {
                new(&output, kind.into(), no_passphrase, passphrase_file.as_deref(), session.world)
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

fn new(
    output: &Path,
    algorithm: Algorithm,
    open: bool,
    passphrase_file: Option<&Path>,
    world: &mut World,
) -> Result<Outcome, Fault> {
    let public_output = public_path(output);
    for path in [output, &public_output] {
        check_new(path, world)?;
    }
    let passphrase = match (open, passphrase_file) {
        (true, _) => None,
        (false, Some(file)) => Some(passphrase::read(file, world)?),
        (false, None) if world.terminal.stdin => Some(passphrase::choose(output, world)?),
        (false, None) => {
            let what = differs("key new", "a passphrase", "no terminal to ask for one");
            return Err(Fault::new(Class::Usage, what).help("use --passphrase-file FILE, or --no-passphrase"));
        }
    };
    let fault = |error: KeyError| wrong(output, &error);
    let key = SigningKey::generate(algorithm).map_err(fault)?;
    let private = key.to_pem(passphrase.as_ref().map(|text| text.as_bytes())).map_err(fault)?;
    create(output, 0o600, private.as_bytes(), world)?;
    if let Err(fault) = create(&public_output, 0o644, key.public().to_pem().as_bytes(), world) {
        // The file was created just above; without the public key it is of no use.
        let _ = std::fs::remove_file(world.path(output));
        return Err(fault);
    }
    let id = key.public().id();
    let (private, public) = (shown(output), shown(&public_output));
    let text = format!("private key  {private}\npublic key   {public}\nkey id       {id}");
    let result = json!({
        "privateKey": private, "publicKey": public, "keyid": id, "type": algorithm.name(),
        "encrypted": passphrase.is_some(),
    });
    Ok(Outcome::new(text, result))
}

fn public(path: &Path, passphrase_file: Option<&Path>, world: &mut World) -> Result<Outcome, Fault> {
    let files: Vec<PathBuf> = passphrase_file.map(ToOwned::to_owned).into_iter().collect();
    let keys = load_signers(&[path.to_owned()], &files, world)?;
    let Some(key) = keys.first() else { return Err(Fault::new(Class::Bug, "internal error: no key was loaded")) };
    let pem = key.public().to_pem();
    Ok(Outcome::new(pem.clone(), json!({ "keyid": key.public().id(), "pem": pem })))
}

fn check(path: &Path, world: &World) -> Result<Outcome, Fault> {
    let bytes = read_file(path, world)?;
    let fault = |error: KeyError| wrong(path, &error);
    let (kind, encrypted, key) = match key::contents(&bytes).map_err(fault)? {
        Contents::Public => ("public", false, Some(PublicKey::from_pem(&bytes).map_err(fault)?)),
        Contents::Private => {
            let key = SigningKey::from_pem(&bytes, None).map_err(fault)?;
            ("private", false, Some(key.public().clone()))
        }
        Contents::Encrypted => ("private", true, None),
    };
    let lock = if encrypted { ", encrypted" } else { "" };
    let mut text = format!("{}: {kind} key{lock}", shown(path));
    let mut result = json!({ "kind": kind, "encrypted": encrypted });
    match &key {
        Some(key) => {
            text.push_str(&format!(", {}\nkey id  {}", key.algorithm().name(), key.id()));
            result["keyid"] = json!(key.id());
            result["type"] = json!(key.algorithm().name());
        }
        None => text.push_str("\nkey id  not readable without the passphrase: see `packmule key public`"),
    }
    Ok(Outcome::new(text, result))
}

/// Returns `KEY.pub.pem` for `KEY.pem`; any other name gets `.pub.pem` appended.
fn public_path(output: &Path) -> PathBuf {
    let is_pem = output.extension().is_some_and(|extension| extension == "pem");
    let name = if is_pem { output.file_stem() } else { output.file_name() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".pub.pem");
    output.with_file_name(name)
}
