//! `sign`: one more signature on a bundle, made here, elsewhere, or by somebody else.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
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
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: OsString,
    /// A private key that signs: a PEM file, or pkcs11:…; repeat it for more
    #[arg(long, value_name = "KEY")]
    sign: Vec<PathBuf>,
    /// The passphrase of the key, one file a key, in order, or systemd:NAME; else it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// A signature file of this bundle, whose signatures are added; repeat it for more
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Write the bytes that a key signs, for an HSM or OpenSSL
    #[arg(long)]
    payload: bool,
    /// The raw signature over these bytes, which is added
    #[arg(long, value_name = "SIGFILE", requires = "keys")]
    attach: Option<PathBuf>,
    /// The public key of that signature; with --merge one whose signature must be good
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// Write here, a new file, and leave the bundle as it is; it may lie where nobody can write
    #[arg(short, long, value_name = "FILE", conflicts_with = "payload")]
    output: Option<PathBuf>,
}

impl Args {
    /// # Errors
    /// Class usage for a key and an output that exists, format, signature, lock, io.
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
        // What is merged, is merged with what there is; a signature alone travels alone.
        let (signed, bytes) = detached(&bundle, !self.merge.is_empty(), add)?;
        match out {
            Some(mut stream) => stream.write_all(&bytes).map_err(|error| failed(output, &error))?,
            None => create(output, 0o644, &bytes, session.world)?,
        }
        Ok(told(&bundle, &signed, Some(shown(output))))
    }

    fn public_keys(&self, session: &Session<'_>) -> Result<Vec<PublicKey>, Fault> {
        let usage = |what: &str, help: &str| Err(Fault::new(Class::Usage, what).help(help));
        if self.attach.is_some() && self.keys.len() > 1 {
            return usage("--attach: expected one --key, found more", "attach one signature at a time");
        }
        if self.attach.is_none() && self.merge.is_empty() && !self.keys.is_empty() {
            return usage(
                "--key: goes with --attach or --merge",
                "--sign takes a private key, which knows its public one",
            );
        }
        self.keys.iter().map(|path| read_public(path, session.world)).collect()
    }
}

/// The bytes that a key signs, and nothing else.
fn payload(bundle: &Untrusted, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    bundle.claimed()?;
    if session.globals.json {
        let what = "sign --payload: standard output is what is signed, there is no room for --json";
        return Err(Fault::new(Class::Usage, what).help("leave --json away"));
    }
    let bytes = pae(&bundle.statement());
    let written = session.world.stdout.write_all(&bytes).and_then(|()| session.world.stdout.flush());
    written.map_err(|error| Fault::new(Class::Io, format!("standard output: {error}")))?;
    Ok(Outcome::new("", Value::Null))
}

/// A whole plain file.
fn read(path: &std::path::Path, most: usize, session: &Session<'_>) -> Result<Vec<u8>, Fault> {
    read_capped(&session.path(path), most as u64)?.ok_or_else(|| {
        let what = format!("{}: expected a file with content, found none", shown(path));
        Fault::new(Class::Io, what).help("name a file that is there")
    })
}

/// A signature file that must be about this bundle.
fn merged(path: &std::path::Path, bundle: &Untrusted, session: &Session<'_>) -> Result<Envelope, Fault> {
    let bytes = read(path, MAX_FILE, session)?;
    let envelope = Envelope::parse(&bytes).map_err(|error| {
        let help = "give a NAME.sig.json, or a file that `packmule sign -o` wrote; a raw signature is for --attach";
        Fault::new(error.class(), format!("{}: {error}", shown(path))).help(help)
    })?;
    if envelope.payload == bundle.statement() {
        return Ok(envelope);
    }
    let what = format!("{}: expected signatures over bundle {}, found them over another", shown(path), bundle.id());
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
