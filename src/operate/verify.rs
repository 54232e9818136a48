//! Verify: does a bundle hold, every byte of it, under a policy?
//!
//! Decides nothing itself: signatures are the policy's, bytes the reader's and its gate's. It says
//! PASS of the whole bundle, PART of chosen volumes. It writes nothing. A stream is read once, to its end.

use crate::base::fault::{Class, Fault};
use crate::bundle::check::damage::Refusal;
use crate::bundle::check::gate::Tally;
use crate::bundle::check::one_pass;
use crate::bundle::check::parallel::{check, check_volume};
use crate::bundle::frames::media::{Ask, Media};
use crate::bundle::stream::{Members, Stream};
use crate::bundle::{Trusted, Untrusted};
use crate::content::checked::Onlooker;
use crate::flow::{Event, Flow};
use crate::oci::Digest;
use crate::scan::{Passing, Scanner, Summary};
use crate::signing::Policy;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Volumes, counted from 1, that are checked against their signed digests; empty: the whole bundle.
    pub volumes: Vec<usize>,
    /// End at the first fault.
    pub fail_fast: bool,
}

/// What was found.
pub struct Verdict {
    /// The bundle, authenticated; absent where it was refused before that.
    pub bundle: Option<Trusted>,
    /// What was counted, of the whole bundle.
    pub tally: Option<Tally>,
    /// What a scanner said of its content, where one was asked.
    pub scan: Option<Summary>,
    /// What speaks against it.
    pub fault: Option<Fault>,
    /// The names of the files that lack or are not what was signed; empty where that is not known.
    pub again: Vec<String>,
}

impl Verdict {
    /// Whether what was asked for holds.
    pub const fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

impl Verdict {
    /// Of what nothing more is known than that `fault` speaks against it.
    pub fn refused(fault: Fault) -> Self {
        Self { bundle: None, tally: None, scan: None, fault: Some(fault), again: Vec::new() }
    }

    fn of(bundle: Trusted, checked: Result<Tally, Refusal>) -> Self {
        let (tally, fault, again) = match checked {
            Ok(tally) => (Some(tally), None, Vec::new()),
            Err(Refusal { fault, again }) => (None, Some(fault), again),
        };
        Self { bundle: Some(bundle), tally, scan: None, fault, again }
    }

    /// The same with what a scan has brought.
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

/// Authenticates `bundle` and checks what `request` asks for.
pub fn run(flow: &Flow, bundle: Untrusted, policy: &Policy, request: &Request) -> Verdict {
    run_asking(flow, bundle, policy, request, None)
}

/// The same; with `ask` volumes that are not there are asked for, one after the other in their order.
pub fn run_asking(
    flow: &Flow,
    bundle: Untrusted,
    policy: &Policy,
    request: &Request,
    ask: Option<&mut Ask<'_>>,
) -> Verdict {
    let bundle = match bundle.authenticate(policy) {
        Ok(bundle) => bundle,
        Err(fault) => return Verdict::refused(fault),
    };
    if !request.volumes.is_empty() {
        let (fault, again) = check_volumes(flow, &bundle, request);
        return Verdict { bundle: Some(bundle), tally: None, scan: None, fault, again };
    }
    let checked = match ask {
        Some(ask) if bundle.lacks_any() => {
            one_pass::check(&bundle, &mut Media::changed(&bundle, ask), flow, request.fail_fast).map_err(Refusal::from)
        }
        _ => check(&bundle, flow, request.fail_fast),
    };
    Verdict::of(bundle, checked)
}

/// Gives all blobs of a bundle that holds, and whose files are at hand, to `scanner`; of any other nothing is given.
pub fn scanned(flow: &Flow, verdict: Verdict, scanner: &Scanner) -> Verdict {
    let (true, Some(_), Some(bundle)) = (verdict.is_good(), &verdict.tally, &verdict.bundle) else { return verdict };
    let summary = crate::scan::run(flow, scanner, bundle, &bundle.manifest().artifacts, &blobs(bundle));
    verdict.with(summary.map(Some))
}

/// The digests and sizes of what `bundle` carries.
pub fn blobs(bundle: &Trusted) -> Vec<(Digest, u64)> {
    bundle.manifest().blobs.iter().map(|blob| (blob.digest, blob.size)).collect()
}

/// Authenticates a stream and checks all of it, in one pass.
pub fn stream(flow: &Flow, stream: Stream, policy: &Policy, request: &Request) -> Verdict {
    stream_scanned(flow, stream, policy, request, None)
}

/// The same; with `scanner` each blob is given to it as it passes.
pub fn stream_scanned(
    flow: &Flow,
    stream: Stream,
    policy: &Policy,
    request: &Request,
    scanner: Option<&Scanner>,
) -> Verdict {
    let bundle = match stream.head.authenticate(policy) {
        Ok(bundle) => bundle,
        Err(fault) => return Verdict::refused(fault),
    };
    if !request.volumes.is_empty() {
        let fault = Fault::new(Class::Usage, "--volume: a stream is read once, and whole")
            .help("write it to a disk (tar x) and check the volumes there");
        return Verdict { bundle: Some(bundle), ..Verdict::refused(fault) };
    }
    let watch = match scanner.map(|scanner| Passing::new(scanner, flow, &blobs(&bundle))).transpose() {
        Ok(watch) => watch,
        Err(fault) => return Verdict { bundle: Some(bundle), ..Verdict::refused(fault) },
    };
    let mut members = Members::new(&bundle, stream.rest, flow.clone());
    let onlooker = watch.as_ref().map(|watch| watch as &dyn Onlooker);
    let checked = one_pass::check_seen(&bundle, &mut members, flow, request.fail_fast, onlooker);
    drop(members);
    let summary = watch.map(|watch| watch.finish(&bundle.manifest().artifacts, checked.is_ok()));
    let verdict = Verdict::of(bundle, checked.map_err(Refusal::from));
    match summary {
        Some(summary) => verdict.with(summary),
        None => verdict,
    }
}

fn check_volumes(flow: &Flow, bundle: &Trusted, request: &Request) -> (Option<Fault>, Vec<String>) {
    let volumes = &bundle.manifest().volumes;
    let beyond: Vec<Fault> = (request.volumes.iter())
        .filter(|&&number| number == 0 || number > volumes.len())
        .map(|number| {
            Fault::new(Class::Usage, format!("--volume {number}: expected 1 to {}", volumes.len()))
                .help("see the volumes: packmule inspect")
        })
        .collect();
    if !beyond.is_empty() {
        return (Fault::from_list(beyond), Vec::new());
    }
    let bytes = request.volumes.iter().map(|number| volumes[number - 1].size).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: request.volumes.len() as u64 });
    let (mut faults, mut again) = (Vec::new(), Vec::new());
    for number in &request.volumes {
        if let Err(error) = check_volume(bundle, number - 1, flow) {
            again.push(bundle.volumes().file_name(number - 1));
            faults.push(Fault::from(error));
            if request.fail_fast {
                break;
            }
        }
    }
    (Fault::from_list(faults), again)
}
