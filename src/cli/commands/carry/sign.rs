//! `sign`: adds signatures to a bundle, made here, elsewhere, or by somebody else.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::base::fault::{Class, Description, Fault, differs, expects};
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{Untrusted, open};
use crate::cli::Session;
use crate::cli::args::bundle::find;
use crate::cli::output::Outcome;
use crate::cli::pem::{read_public, shown};
use crate::cli::writing::newfile::{create, failed, stream};
use crate::cli::writing::signers::load_signers;
use crate::operate::sign::{Signed, detached, in_bundle};
use crate::outfile::unmounted;
use crate::signing::envelope::{MAX_FILE, MAX_SIGNATURE};
use crate::signing::{Envelope, PublicKey, pae};

/// `sign BUNDLE --sign KEY [-o FILE] | --merge FILE | --payload > FILE | --attach SIGFILE --key PUB`
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("how").required(true).args(["sign", "merge", "payload", "attach"])))]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, or a directory with one bundle
    bundle: OsString,
    /// Private key that signs: a PEM file, or pkcs11:…; repeatable
    #[arg(long, value_name = "KEY")]
    sign: Vec<PathBuf>,
    /// File with the passphrase of a key, or systemd:NAME; repeat once per key, in the order of the
    /// keys [default: ask]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// Add the signatures in this signature file of the same bundle; repeatable
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Write the bytes to sign to standard output, for an HSM or OpenSSL
    #[arg(long)]
    payload: bool,
    /// Add the raw signature of the bytes from --payload in this file
    #[arg(long, value_name = "SIGFILE", requires = "keys")]
    attach: Option<PathBuf>,
    /// Public key of the signature from --attach; with --merge, a key whose signature must be good;
    /// repeatable with --merge
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// Write the signatures to this new file and leave the bundle unchanged; the bundle may be on a
    /// read-only medium
    #[arg(short, long, value_name = "FILE", conflicts_with = "payload")]
    output: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage for a bad key or an existing output; class format, signature, lock, io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let keys = self.public_keys(session)?;
        let warning = self.output.as_ref().and_then(|path| unmounted(&session.path(path)));
        warning.into_iter().for_each(|warning| session.flow.warn(warning));
        let out = self.output.as_ref().map(|path| stream(path, session.world)).transpose()?.flatten();
        let signers = load_signers(&self.sign, &self.passphrase_file, session.world)?;
        let path = find(&self.bundle, session)?;
        let bundle = open(&path)?;
        if self.payload {
            return payload(&bundle, session);
        }
        let attached = self.attach.as_ref().map(|path| read(path, MAX_SIGNATURE, session)).transpose()?;
        let merged = self.merge.iter().map(|path| merged(path, &bundle, session)).collect::<Result<Vec<_>, _>>()?;
        let add = |envelope: &mut Envelope| {
            signers.iter().try_for_each(|signer| envelope.sign_with(&**signer))?;
            if let (Some(sig), Some(key)) = (attached, keys.first()) {
                envelope.attach(key, sig)?;
            }
            merged.into_iter().try_for_each(|other| envelope.join(other, &keys))
        };
        let Some(output) = &self.output else {
            return Ok(told(&bundle, &in_bundle(&path, &bundle, add)?, None));
        };
        // `--merge` includes the bundle's signatures; any other new signature is written alone.
        let (signed, bytes) = detached(&bundle, !self.merge.is_empty(), add)?;
        match out {
            Some(mut stream) => stream.write_all(&bytes).map_err(|error| failed(output, &error))?,
            None => create(output, 0o644, &bytes, session.world)?,
        }
        Ok(told(&bundle, &signed, Some(shown(output))))
    }

    fn public_keys(&self, session: &Session<'_>) -> Result<Vec<PublicKey>, Fault> {
        let usage = |what: Description, help: &str| Err(Fault::new(Class::Usage, what).help(help));
        if self.attach.is_some() && self.keys.len() > 1 {
            return usage(differs("--attach", "one --key", "more"), "attach one signature at a time");
        }
        if self.attach.is_none() && self.merge.is_empty() && !self.keys.is_empty() {
            return usage(
                differs("--key", "--attach or --merge", "neither"),
                "leave out --key: --sign takes a private key, which contains its public key",
            );
        }
        self.keys.iter().map(|path| read_public(path, session.world)).collect()
    }
}

/// Writes only the bytes that a key signs.
fn payload(bundle: &Untrusted, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    bundle.claimed()?;
    if session.globals.json {
        let what = expects("sign --payload", "no --json, since standard output holds the bytes to sign");
        return Err(Fault::new(Class::Usage, what).help("leave out --json"));
    }
    let bytes = pae(&bundle.statement());
    let written = session.world.stdout.write_all(&bytes).and_then(|()| session.world.stdout.flush());
    written.map_err(|error| Fault::new(Class::Io, format!("standard output: {error}")))?;
    Ok(Outcome::new("", Value::Null))
}

/// Reads a whole plain file.
fn read(path: &std::path::Path, most: usize, session: &Session<'_>) -> Result<Vec<u8>, Fault> {
    read_capped(&session.path(path), most as u64)?.ok_or_else(|| {
        let what = differs(shown(path), "a file with content", "none");
        Fault::new(Class::Io, what).help("name an existing file")
    })
}

/// Reads a signature file, which must be for this bundle.
fn merged(path: &std::path::Path, bundle: &Untrusted, session: &Session<'_>) -> Result<Envelope, Fault> {
    let bytes = read(path, MAX_FILE, session)?;
    let envelope = Envelope::parse(&bytes).map_err(|error| {
        let help = "name a NAME.sig.json or a file that `packmule sign -o` wrote; use --attach for a raw signature";
        Fault::new(error.class(), format!("{}: {error}", shown(path))).help(help)
    })?;
    if envelope.payload == bundle.statement() {
        return Ok(envelope);
    }
    let what = differs(shown(path), format_args!("signatures over bundle {}", bundle.id()), "them over another");
    Err(Fault::new(Class::Signature, what).help("ask whether the same copy of the manifest was signed"))
}

fn told(bundle: &Untrusted, signed: &Signed, output: Option<String>) -> Outcome {
    let mut text = format!("signed  {}\nbundle id  {}\n", bundle.name(), signed.id);
    for keyid in &signed.keyids {
        text.push_str(&format!("signature  {keyid}\n"));
    }
    let mut result = json!({ "name": bundle.name(), "id": signed.id, "keyids": signed.keyids });
    if let Some(output) = output {
        text.push_str(&format!("written to {output}\n"));
        result["output"] = json!(output);
    }
    Outcome::new(text, result)
}
