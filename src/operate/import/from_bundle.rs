//! Import of a bundle: how its content is read, and what is checked before the destination is opened.
//!
//! A bundle whose files are all at hand is checked first. A bundle that comes as a stream, or on
//! several media, is checked while it is read. [`crate::operate::import`] handles artifacts and
//! destinations.

use std::collections::HashSet;

use crate::base::fault::Fault;
use crate::base::shard::Shard;
use crate::bundle::Trusted;
use crate::bundle::frames::media::{Ask, Media};
use crate::bundle::source::one_pass::{self, OnePassSource};
use crate::bundle::stream::{Bytes, Members};
use crate::decide::part::Pick;
use crate::flow::Flow;
use crate::oci::Digest;
use crate::operate::import::checks::{BundleCheck, OnePassCheck};
use crate::operate::import::{Imported, Request, run};
use crate::scan::{Scanner, Summary};

/// Returns the blobs that `shard` sends, split by bytes in the order in which the bundle holds them.
pub fn share(bundle: &Trusted, shard: Shard) -> HashSet<Digest> {
    let blobs = &bundle.manifest().blobs;
    let lengths: Vec<u64> = blobs.iter().map(|blob| blob.size).collect();
    let own = blobs.get(shard.of(&lengths)).unwrap_or_default();
    own.iter().map(|blob| blob.digest).collect()
}

/// A bundle that is ready to be imported.
pub struct Ready<'a> {
    bundle: &'a Trusted,
    content: Content<'a>,
}

/// How the content is read.
enum Content<'a> {
    /// All files are at hand and were checked.
    Checked(Box<BundleCheck<'a>>),
    /// A stream, read once.
    Stream(Bytes),
    /// Media that are changed on request.
    Media,
}

impl<'a> Ready<'a> {
    /// Decides how to read the content of `bundle`, and checks the files that are at hand. `rest`
    /// is the part of a stream after the manifest. `can_ask` says whether someone can change a
    /// medium. With `scanner`, nothing is sent before everything was scanned. With `select`, only the
    /// files that hold the selected part have to be there.
    ///
    /// # Errors
    /// Class format, integrity, io: all faults of the files.
    pub fn check(
        bundle: &'a Trusted,
        rest: Option<Bytes>,
        can_ask: bool,
        (scanner, select): (Option<&'a Scanner>, &[Pick]),
        flow: &'a Flow,
    ) -> Result<Self, Fault> {
        let content = match rest {
            Some(rest) => Content::Stream(rest),
            None if !select.is_empty() => {
                Content::Checked(Box::new(BundleCheck::open_part(bundle, flow, select)?.with_scanner(scanner)))
            }
            None if scanner.is_none() && can_ask && bundle.lacks_any() => Content::Media,
            None => Content::Checked(Box::new(BundleCheck::open(bundle, flow)?.with_scanner(scanner))),
        };
        Ok(Self { bundle, content })
    }

    /// Imports as `request` says, except that source and check are the bundle's. Also returns the
    /// scanner's result. `ask` prompts for the next medium.
    pub fn run(
        self,
        flow: &Flow,
        request: &Request<'_>,
        ask: &mut Ask<'_>,
    ) -> (Result<Imported, Fault>, Option<Summary>) {
        let bundle = self.bundle;
        let pass = |source: &OnePassSource<'_>| {
            let check = OnePassCheck(source, bundle);
            run(flow, &Request { source, check: &check, ..*request })
        };
        match self.content {
            Content::Checked(check) => {
                let done = run(flow, &Request { source: bundle, check: &*check, ..*request });
                (done, check.into_scanned())
            }
            Content::Stream(rest) => {
                (one_pass::run(bundle, &mut Members::new(bundle, rest, flow.clone()), flow, pass), None)
            }
            Content::Media => (one_pass::run(bundle, &mut Media::changed(bundle, ask), flow, pass), None),
        }
    }
}
