//! Rules between the members of a receipt (`spec/receipt.md`): it must not claim anything that was
//! not read back.

use super::{Arrival, Bundle, Counts, FORMAT, Named, Order, Outcome, Receipt, Signer, State, wrong};
use crate::base::fault::{Description, Fault, differs, expects};
use crate::oci::descriptor::MAX_SIZE;

/// Whether a text is valid in a receipt: not empty, at most `most` bytes, no control characters.
fn is_clean(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Receipt {
    /// Checks the rules between members.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`].
    pub fn check(&self) -> Result<(), Fault> {
        if self.format != FORMAT {
            return Err(wrong(differs("", format_args!("format {FORMAT:?}"), format_args!("{:?}", self.format))));
        }
        if !self.tool.starts_with("packmule ") || !is_clean(&self.tool, 100) || !is_clean(&self.destination, 4096) {
            return Err(wrong(expects("tool, destination", "\"packmule VERSION\" and a place")));
        }
        let whole = self.is_whole();
        match &self.fault {
            None if whole => {}
            None => return Err(wrong("some artifacts failed, but no fault is named")),
            Some(fault) if is_clean(&fault.class, 32) && is_clean(&fault.text, 4096) => {}
            Some(_) => return Err(wrong(expects("fault", "a class and a text"))),
        }
        if self.artifacts.is_empty() {
            return Err(wrong(expects("artifacts", "at least one")));
        }
        if !self.artifacts.is_sorted_by(|a, b| (&a.repository, &a.digest) < (&b.repository, &b.digest)) {
            return Err(wrong(expects("artifacts", "in order of repository and digest, each once")));
        }
        self.artifacts.iter().try_for_each(Arrival::check)?;
        if !self.blobs.is_sorted_by(|a, b| a.digest < b.digest) {
            return Err(wrong(expects("blobs", "in order of digest, each once")));
        }
        if self.blobs.iter().any(|blob| blob.size > MAX_SIZE) {
            return Err(wrong("blobs: size above 2^53-1"));
        }
        let Counts { base, bytes, found, mounted, sent } = self.counts;
        if [base, bytes, found, mounted, sent].iter().any(|number| *number > MAX_SIZE) {
            return Err(wrong(expects("counts", "numbers below 2^53")));
        }
        self.check_custody()
    }

    fn check_custody(&self) -> Result<(), Fault> {
        let Bundle { channel, epoch, sequence, name, .. } = &self.bundle;
        let is_whole = channel.is_some() == epoch.is_some() && channel.is_some() == sequence.is_some();
        let numbers = epoch.iter().chain(sequence).all(|number| *number <= MAX_SIZE);
        if !is_whole || !numbers || !is_clean(name, 64) || !channel.iter().all(|text| is_clean(text, 64)) {
            return Err(wrong(expects("bundle", "a name, and channel, epoch and sequence together")));
        }
        let is_keyid =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let good = |signer: &Signer| {
            is_keyid(&signer.keyid) && signer.holder.iter().chain(&signer.role).all(|text| is_clean(text, 256))
        };
        if !self.signers.iter().all(good) || !self.signers.is_sorted_by(|a, b| a.keyid < b.keyid) {
            return Err(wrong(expects("signers", "key ids in order, each once")));
        }
        if let Some(Order { allowed, overlooked, state }) = &self.order {
            let texts = allowed.iter().chain(overlooked).all(|text| is_clean(text, 4096));
            if !texts || !is_clean(state, 32) {
                return Err(wrong(expects("order", "texts without control characters")));
            }
        }
        let told = self.scan.iter().flat_map(|scan| std::iter::once(&scan.scanner).chain(&scan.version));
        if !told.into_iter().all(|text| is_clean(text, 4096)) {
            return Err(wrong(expects("scan", "texts without control characters")));
        }
        if self.audit.is_some_and(|line| line.number == 0 || line.number > MAX_SIZE) {
            return Err(wrong(expects("audit", "the number of a line")));
        }
        Ok(())
    }
}

impl Arrival {
    /// Checks that nothing is claimed that was not read back.
    fn check(&self) -> Result<(), Fault> {
        let wrong =
            |what: Description| wrong(what.within(format_args!("artifact {}@{}", self.repository, self.digest)));
        if !self.destination.iter().all(|text| is_clean(text, 512)) {
            return Err(wrong("its destination is not a repository".into()));
        }
        if !self.tags.is_sorted_by(|a, b| a.name < b.name) {
            return Err(wrong(expects("", "tags in order, each once")));
        }
        let (failed, unread) = (self.outcome == Outcome::Failed, self.outcome == Outcome::Unread);
        let (left, left_out) = (self.outcome == Outcome::Left, self.outcome == Outcome::LeftOut);
        let arrived = self.outcome.is_arrived();
        if left && (self.read_back.is_some() || !self.tags.is_empty()) {
            return Err(wrong("is said to be left, but was read back or has tags".into()));
        }
        if left_out && self.read_back.is_some() {
            return Err(wrong("is said to be left out, but was read back".into()));
        }
        if (failed || unread || left) != self.reason.is_some() || !self.reason.iter().all(|text| is_clean(text, 4096)) {
            return Err(wrong(expects("", "a reason where it failed, could not be read or is left, and only there")));
        }
        let is_named = failed || left || left_out || self.destination.is_some();
        if (arrived && self.read_back != Some(self.digest)) || !is_named {
            return Err(wrong("is said to be there, but was not read back".into()));
        }
        if unread && self.read_back.is_some_and(|found| found != self.digest) {
            return Err(wrong("is said to be unread, but something else was read".into()));
        }
        let proven = |tag: &Named| match tag.outcome {
            _ if left_out && tag.outcome != State::LeftOut => false,
            State::Set | State::Present => tag.read_back == Some(self.digest),
            State::Kept => tag.read_back != Some(self.digest),
            State::Unread => unread && tag.read_back.is_none(),
            State::Failed => failed,
            State::LeftOut => !left && tag.read_back.is_none(),
        };
        match self.tags.iter().find(|tag| !proven(tag)) {
            Some(tag) => Err(wrong(
                format!("tag {} is said to be {:?}, but was not read back as such", tag.name, tag.outcome).into(),
            )),
            None => Ok(()),
        }
    }
}
