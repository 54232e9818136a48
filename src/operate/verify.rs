//! Verify: checks every byte of a bundle under a policy.
//!
//! Combines checks made elsewhere: the policy judges signatures, the reader checks bytes. The
//! verdict is PASS for the whole bundle, or for one whose shards' tallies are joined; PART for
//! selected volumes or one shard. Writes nothing. A stream is read once, to its end.

use super::tallies::{self, Vouched};
use crate::base::fault::{Class, Fault, expects};
use crate::base::shard::Shard;
use crate::bundle::check::damage::Refusal;
use crate::bundle::check::gate::Tally;
use crate::bundle::check::one_pass;
use crate::bundle::check::parallel::{check, check_volume};
use crate::bundle::check::seen::Seen;
use crate::bundle::check::shard;
use crate::bundle::frames::media::{Ask, Media};
use crate::bundle::stream::{Members, Stream};
use crate::bundle::{Trusted, Untrusted};
use crate::content::checked::Onlooker;
use crate::flow::{Event, Flow};
use crate::oci::Digest;
use crate::scan::{Passing, Scanner, Summary};
use crate::signing::Policy;

/// A bundle to verify, the keys to trust, and how much to check.
pub struct Request<'a> {
    /// The bundle.
    pub content: Content<'a>,
    /// Policy that says which keys to trust.
    pub policy: &'a Policy,
    /// How much of it to check.
    pub scope: &'a Scope,
    /// Scans all blobs; if the bundle's files are at hand, only after the bundle passed.
    pub scanner: Option<&'a Scanner>,
    /// Tallies of shards, which take the place of a check here.
    pub tallies: Option<&'a [tallies::File]>,
}

impl<'a> Request<'a> {
    /// Returns a request without a scanner.
    pub fn new(content: impl Into<Content<'a>>, policy: &'a Policy, scope: &'a Scope) -> Self {
        Self { content: content.into(), policy, scope, scanner: None, tallies: None }
    }
}

/// How to read the bundle's content.
pub enum Content<'a> {
    /// All files are at hand.
    Files(Untrusted),
    /// Missing volumes are prompted for, one after the other, in order.
    Media(Untrusted, &'a mut Ask<'a>),
    /// One pass over a stream.
    Stream(Stream),
}

impl From<Untrusted> for Content<'_> {
    fn from(bundle: Untrusted) -> Self {
        Self::Files(bundle)
    }
}

impl From<Stream> for Content<'_> {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

/// How much of a bundle to check. The default is all of it.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Volumes to check against their signed digests, counted from 1; empty means the whole bundle.
    pub volumes: Vec<usize>,
    /// The only part to check.
    pub shard: Option<Shard>,
    /// Whether to stop at the first fault.
    pub fail_fast: bool,
}

impl Scope {
    /// Returns whether the whole bundle is to be checked.
    pub const fn is_whole(&self) -> bool {
        self.volumes.is_empty() && self.shard.is_none()
    }
}

/// Result of a verification.
pub struct Verdict {
    /// The authenticated bundle; `None` if it was refused before that.
    pub bundle: Option<Trusted>,
    /// Counts of the whole bundle.
    pub tally: Option<Tally>,
    /// Tally of the shard that was checked.
    pub seen: Option<Seen>,
    /// The tallies that were joined.
    pub vouched: Vec<Vouched>,
    /// Scan of its content, if requested.
    pub scan: Option<Summary>,
    /// Why it did not pass.
    pub fault: Option<Fault>,
    /// Names of the files that are missing or differ from what was signed; empty if that is not
    /// known.
    pub again: Vec<String>,
}

impl Verdict {
    /// Returns whether all requested checks passed.
    pub const fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

impl Verdict {
    /// Returns the verdict on a bundle of which only `fault` is known.
    pub fn refused(fault: Fault) -> Self {
        Self {
            bundle: None,
            tally: None,
            seen: None,
            vouched: Vec::new(),
            scan: None,
            fault: Some(fault),
            again: Vec::new(),
        }
    }

    fn of(bundle: Trusted, checked: Result<Tally, Refusal>) -> Self {
        let (tally, fault, again) = match checked {
            Ok(tally) => (Some(tally), None, Vec::new()),
            Err(Refusal { fault, again }) => (None, Some(fault), again),
        };
        Self { bundle: Some(bundle), tally, seen: None, vouched: Vec::new(), scan: None, fault, again }
    }

    /// Returns the verdict on a part of an authenticated bundle.
    fn of_part(bundle: Trusted, seen: Option<Seen>, fault: Option<Fault>, again: Vec<String>) -> Self {
        Self { bundle: Some(bundle), tally: None, seen, vouched: Vec::new(), scan: None, fault, again }
    }

    /// Adds the result of a scan.
    fn with(mut self, summary: Result<Option<Summary>, Fault>) -> Self {
        let found = match &summary {
            Ok(summary) => summary.as_ref().and_then(Summary::fault),
            Err(fault) => Some(fault.clone()),
        };
        self.scan = summary.ok().flatten();
        self.fault = Fault::from_list(self.fault.into_iter().chain(found).collect());
        self
    }
}

/// Authenticates the bundle and checks what `request` asks for.
pub fn run(flow: &Flow, request: Request<'_>) -> Verdict {
    let Request { content, policy, scope, scanner, tallies } = request;
    let (bundle, ask) = match content {
        Content::Files(bundle) => (bundle, None),
        Content::Media(bundle, ask) => (bundle, Some(ask)),
        Content::Stream(stream) if tallies.is_none() && scope.shard.is_none() => {
            return stream_once(flow, stream, policy, scope, scanner);
        }
        Content::Stream(_) => {
            let fault = Fault::new(Class::Usage, "--shard, --join: a stream can only be checked as a whole")
                .help("extract it to a disk (tar x), or put it into a container, and check the shards there");
            return Verdict::refused(fault);
        }
    };
    let bundle = match bundle.authenticate(policy) {
        Ok(bundle) => bundle,
        Err(fault) => return Verdict::refused(fault),
    };
    if !scope.volumes.is_empty() {
        let (fault, again) = check_volumes(flow, &bundle, scope);
        return Verdict::of_part(bundle, None, fault, again);
    }
    if let Some(part) = scope.shard {
        return match shard::check(&bundle, part, flow, scope.fail_fast) {
            Ok(seen) => Verdict::of_part(bundle, Some(seen), None, Vec::new()),
            Err(Refusal { fault, again }) => Verdict::of_part(bundle, None, Some(fault), again),
        };
    }
    if let Some(files) = tallies {
        return joined(flow, bundle, files, policy, scope);
    }
    let checked = match ask {
        Some(ask) if bundle.lacks_any() => {
            one_pass::check(&bundle, &mut Media::changed(&bundle, ask), flow, scope.fail_fast).map_err(Refusal::from)
        }
        _ => check(&bundle, flow, scope.fail_fast),
    };
    let verdict = Verdict::of(bundle, checked);
    match scanner {
        Some(scanner) => scanned(flow, verdict, scanner),
        None => verdict,
    }
}

/// Lets a bundle pass whose shards were checked elsewhere.
fn joined(flow: &Flow, bundle: Trusted, files: &[tallies::File], policy: &Policy, scope: &Scope) -> Verdict {
    match tallies::join(bundle.id(), files, policy) {
        Ok((joined, vouched)) => {
            let checked = shard::join(&bundle, &joined, flow, scope.fail_fast);
            Verdict { vouched, ..Verdict::of(bundle, checked) }
        }
        Err(fault) => Verdict::of_part(bundle, None, Some(fault), Vec::new()),
    }
}

/// Passes all blobs of a bundle that passed its checks to `scanner`. Does not scan any other
/// bundle.
fn scanned(flow: &Flow, verdict: Verdict, scanner: &Scanner) -> Verdict {
    let (true, Some(_), Some(bundle)) = (verdict.is_good(), &verdict.tally, &verdict.bundle) else { return verdict };
    let summary = crate::scan::run(flow, scanner, bundle, &bundle.manifest().artifacts, &blobs(bundle));
    verdict.with(summary.map(Some))
}

/// Returns the digests and sizes of all blobs in `bundle`.
pub fn blobs(bundle: &Trusted) -> Vec<(Digest, u64)> {
    bundle.manifest().blobs.iter().map(|blob| (blob.digest, blob.size)).collect()
}

/// Authenticates a stream and checks all of it in one pass. Gives each blob to `scanner` on the
/// way.
fn stream_once(flow: &Flow, stream: Stream, policy: &Policy, scope: &Scope, scanner: Option<&Scanner>) -> Verdict {
    let bundle = match stream.head.authenticate(policy) {
        Ok(bundle) => bundle,
        Err(fault) => return Verdict::refused(fault),
    };
    if !scope.volumes.is_empty() {
        let fault = Fault::new(Class::Usage, "--volume: a stream can only be checked as a whole")
            .help("extract it to a disk (tar x) and check the volumes there");
        return Verdict { bundle: Some(bundle), ..Verdict::refused(fault) };
    }
    let watch = match scanner.map(|scanner| Passing::new(scanner, flow, &blobs(&bundle))).transpose() {
        Ok(watch) => watch,
        Err(fault) => return Verdict { bundle: Some(bundle), ..Verdict::refused(fault) },
    };
    let mut members = Members::new(&bundle, stream.rest, flow.clone());
    let onlooker = watch.as_ref().map(|watch| watch as &dyn Onlooker);
    let checked = one_pass::check_seen(&bundle, &mut members, flow, scope.fail_fast, onlooker);
    drop(members);
    let summary = watch.map(|watch| watch.finish(&bundle.manifest().artifacts, checked.is_ok()));
    let verdict = Verdict::of(bundle, checked.map_err(Refusal::from));
    match summary {
        Some(summary) => verdict.with(summary),
        None => verdict,
    }
}

fn check_volumes(flow: &Flow, bundle: &Trusted, scope: &Scope) -> (Option<Fault>, Vec<String>) {
    let volumes = &bundle.manifest().volumes;
    let beyond: Vec<Fault> = (scope.volumes.iter())
        .filter(|&&number| number == 0 || number > volumes.len())
        .map(|number| {
            Fault::new(Class::Usage, expects(format_args!("--volume {number}"), format_args!("1 to {}", volumes.len())))
                .help("list the volumes with packmule inspect")
        })
        .collect();
    if !beyond.is_empty() {
        return (Fault::from_list(beyond), Vec::new());
    }
    let bytes = scope.volumes.iter().map(|number| volumes[number - 1].size).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: scope.volumes.len() as u64 });
    let (mut faults, mut again) = (Vec::new(), Vec::new());
    for number in &scope.volumes {
        if let Err(error) = check_volume(bundle, number - 1, flow) {
            again.push(bundle.volumes().file_name(number - 1));
            faults.push(error);
            if scope.fail_fast {
                break;
            }
        }
    }
    (Fault::from_list(faults), again)
}
