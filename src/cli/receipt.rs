//! How `inspect` shows a receipt.
//!
//! Without a key, the text says that the receipt is not authenticated, as for a bundle.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::Outcome;
use super::progress::size as show_size;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::oci::Digest;
use crate::receipt::{Arrival, MAX_RECEIPT, MEDIA_TYPE, Outcome as Reached, Receipt, State};
use crate::signing::envelope::MAX_FILE;
use crate::signing::{Envelope, EnvelopeError, Judgement, Policy, statement};
use crate::system::{self, Found};

/// `X.json` → `X.sig.json`.
pub fn signature_path(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.sig.json"))
}

fn read(path: &Path, mut file: File, most: u64) -> Result<Vec<u8>, Fault> {
    let io = |error: std::io::Error| {
        let what = format!("receipt {}: {error}", escape(&path.to_string_lossy()));
        Fault::new(Class::Io, what).help("check that the file can be read, and run the command again")
    };
    let mut bytes = Vec::new();
    // One byte over the limit, so that the parser can report that it is too long.
    (&mut file).take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Reads the receipt at `path`, whose file is open. Its signatures are not checked.
///
/// # Errors
/// Class format, io.
pub fn load(path: &Path, file: File) -> Result<Receipt, Fault> {
    Receipt::parse(&read(path, file, MAX_RECEIPT)?).map_err(|fault| fault.within(escape(&path.to_string_lossy())))
}

fn envelope(path: &Path) -> Result<Option<Envelope>, Fault> {
    let path = signature_path(path);
    let file = match system::open_file(&path) {
        Ok(file) => file,
        Err(unopened) if unopened.found == Found::Nothing => return Ok(None),
        Err(unopened) => {
            let what = format!("receipt's signatures {}: {}", escape(&path.to_string_lossy()), unopened.error);
            return Err(Fault::new(Class::Io, what).help("check that the file can be read, and run the command again"));
        }
    };
    let bytes = read(&path, file, MAX_FILE as u64)?;
    let wrong = |error: EnvelopeError| {
        Fault::new(error.class(), format!("receipt's signatures: {}", escape(&error.to_string())))
            .help("get the receipt and its signature file again from whoever imported the bundle")
    };
    Envelope::parse(&bytes).map(Some).map_err(wrong)
}

/// The result of judging the signatures.
enum Standing {
    Unsigned,
    Unjudged(Vec<String>),
    Good(Judgement, Vec<(String, String, String)>),
}

fn judge(envelope: Option<Envelope>, made: &[u8], policy: Option<&Policy>, checks: bool) -> Result<Standing, Fault> {
    let mut signed = envelope.unwrap_or_else(|| Envelope::new(made.to_vec()));
    let Some(policy) = policy else {
        if checks && signed.payload != made {
            let what = differs("receipt's signatures", "signatures of this receipt", "signatures of something else");
            return Err(Fault::new(Class::Signature, what)
                .help("get the receipt and its signature file again from whoever imported the bundle"));
        }
        let keyids = std::mem::take(&mut signed.signatures).into_iter().map(|one| one.keyid).collect::<Vec<_>>();
        return Ok(if keyids.is_empty() { Standing::Unsigned } else { Standing::Unjudged(keyids) });
    };
    let judgement = policy.judge(made, &signed).map_err(|refusal| {
        let fault = Fault::from(refusal);
        Fault { what: fault.what.replace("manifest", "receipt"), ..fault }
    })?;
    let sections = policy.sections().into_iter();
    let sections = sections.flat_map(|sections| sections.channels.values().chain(&sections.no_channel));
    let mut holders: Vec<(String, String, String)> = Vec::new();
    for entry in sections.flat_map(|section| &section.entries) {
        for keyid in entry.keyids.iter().filter(|keyid| judgement.good.contains(keyid)) {
            let holder = (keyid.clone(), entry.holder.clone(), entry.role.clone());
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
    }
    Ok(Standing::Good(judgement, holders))
}

/// Verdict if nothing failed or was left out.
const ALL: &str = "ALL ARRIVED";

/// Shows the receipt at `path`, whose file is open; `policy` says whose signatures count.
///
/// # Errors
/// Class format, io; with a policy or `checks` also signature and trust.
pub fn show(path: &Path, file: File, checks: bool, policy: Option<&Policy>) -> Result<Outcome, Fault> {
    let bytes = read(path, file, MAX_RECEIPT)?;
    let digest = Digest::sha256(&bytes);
    let made = statement(MEDIA_TYPE, digest, bytes.len() as u64);
    // With keys given, nothing is parsed before its signature is checked.
    let standing = judge(envelope(path)?, &made, policy, checks)?;
    let receipt = Receipt::parse(&bytes)?;
    let (arrived, left, all) = (receipt.arrived(), receipt.left(), receipt.artifacts.len());
    let word = match arrived {
        0 => "NOTHING ARRIVED",
        _ if arrived + left == all => ALL,
        _ => "PARTLY ARRIVED",
    };
    let (name, destination) = (escape(&receipt.bundle.name), escape(&receipt.destination));
    let mut text = format!("{word}  {arrived} of {all} artifacts of {name} at {destination}\n");
    let left_out = receipt.left_out();
    if left_out > 0 {
        text.push_str(&format!("left out   {left_out} referrers, as requested\n"));
    }
    if left > 0 {
        text.push_str(&format!("left       {left} that belong to original indexes, which it does not take\n"));
    }
    let authenticated = matches!(standing, Standing::Good(..));
    let mut keyids = Vec::new();
    match &standing {
        Standing::Unsigned => text.push_str("signed     by nobody: not authenticated\n"),
        Standing::Unjudged(ids) => {
            text.push_str("signed     not authenticated: check it with --key\n");
            for keyid in ids {
                text.push_str(&format!("signature  {keyid}\n"));
            }
            keyids.clone_from(ids);
        }
        Standing::Good(judgement, holders) => {
            for keyid in &judgement.good {
                let who = holders.iter().find(|(id, ..)| id == keyid);
                let who = who.map(|(_, holder, role)| format!("  {} ({})", escape(holder), escape(role)));
                text.push_str(&format!("signed by  {keyid}{}\n", who.unwrap_or_default()));
            }
            for keyid in &judgement.ended {
                text.push_str(&format!("not counted  {keyid} (a key of the policy whose `until` has passed)\n"));
            }
            for keyid in &judgement.unknown {
                text.push_str(&format!("not counted  {keyid} (a key that was not given)\n"));
            }
            keyids.clone_from(&judgement.good);
        }
    }
    text.push_str(&custody(&receipt));
    text.push_str("artifacts\n");
    receipt.artifacts.iter().for_each(|artifact| text.push_str(&row(artifact)));
    text.push_str(&format!("receipt    {digest}\n"));
    let result = json!({
        "authenticated": authenticated, "digest": digest, "keyids": keyids, "arrived": arrived, "left": left,
        "leftOut": left_out, "all": word == ALL,
        "receipt": receipt,
    });
    Ok(Outcome::new(text, result))
}

/// Returns everything but the artifacts as text.
fn custody(receipt: &Receipt) -> String {
    let Receipt { bundle, counts, .. } = receipt;
    let mut text = format!("bundle id  {}\nmade       {}\n", bundle.id, bundle.created);
    if let (Some(channel), Some(epoch), Some(sequence)) = (&bundle.channel, bundle.epoch, bundle.sequence) {
        text.push_str(&format!("channel    {} {epoch}/{sequence}\n", escape(channel)));
    }
    if let Some(run) = &receipt.run {
        text.push_str(&format!("run        {}\n", escape(run)));
    }
    for signer in &receipt.signers {
        let who = match (&signer.holder, &signer.role) {
            (Some(holder), Some(role)) => format!("  {} ({})", escape(holder), escape(role)),
            (holder, role) => holder.iter().chain(role).map(|text| format!("  {}", escape(text))).collect(),
        };
        text.push_str(&format!("let in by  {}{who}\n", escape(&signer.keyid)));
    }
    if let Some(order) = &receipt.order {
        text.push_str(&format!("order      {}\n", escape(&order.state)));
        for (word, list) in [("allowed   ", &order.allowed), ("overlooked", &order.overlooked)] {
            list.iter().for_each(|one| text.push_str(&format!("{word} {}\n", escape(one))));
        }
    }
    text.push_str(&format!(
        "imported   {} to {} by {}\nmoved      {} blobs sent ({}), {} mounted, {} there already, {} of a base\n",
        receipt.started,
        receipt.ended,
        escape(&receipt.tool),
        counts.sent,
        show_size(counts.bytes),
        counts.mounted,
        counts.found,
        counts.base
    ));
    if let Some(fault) = &receipt.fault {
        text.push_str(&format!("fault      {}: {}\n", escape(&fault.class), escape(&fault.text)));
    }
    if let Some(line) = receipt.audit {
        text.push_str(&format!("audit log  line {}, {}\n", line.number, line.digest));
    }
    text
}

fn row(artifact: &Arrival) -> String {
    let outcome = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let word = outcome(&json!(artifact.outcome));
    let is_loud = matches!(artifact.outcome, Reached::Failed | Reached::Unread);
    let word = if is_loud { word.to_uppercase() } else { word };
    let to = artifact.destination.as_deref().map(escape).unwrap_or_default();
    let tags: String =
        artifact.tags.iter().filter(|tag| tag.outcome != State::Kept).map(|tag| format!(":{}", tag.name)).collect();
    let mut text = format!("  {word:8} {}{tags} as {to}@{}\n", artifact.repository, artifact.digest);
    for tag in artifact.tags.iter().filter(|tag| tag.outcome == State::Kept) {
        let names = tag.read_back.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
        text.push_str(&format!("           kept :{}, which names {names}\n", tag.name));
    }
    if let Some(reason) = &artifact.reason {
        text.push_str(&format!("           {}\n", escape(reason)));
    }
    text
}
