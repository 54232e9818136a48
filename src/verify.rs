//! Verify: does a bundle hold, every byte of it, under a policy?
//!
//! Decides nothing itself: signatures are the policy's, bytes the reader's and its gate's. It says
//! PASS of the whole bundle, PART of chosen volumes. It writes nothing.

use crate::bundle::check::{Tally, check, check_volume};
use crate::bundle::{Trusted, Untrusted};
use crate::fault::{Class, Fault};
use crate::flow::{Event, Flow};
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
    /// What speaks against it.
    pub fault: Option<Fault>,
}

impl Verdict {
    /// Whether what was asked for holds.
    pub const fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

/// Authenticates `bundle` and checks what `request` asks for.
pub fn run(flow: &Flow, bundle: Untrusted, policy: &Policy, request: &Request) -> Verdict {
    let bundle = match bundle.authenticate(policy) {
        Ok(bundle) => bundle,
        Err(fault) => return Verdict { bundle: None, tally: None, fault: Some(fault) },
    };
    let (tally, fault) = if request.volumes.is_empty() {
        match check(&bundle, flow, request.fail_fast) {
            Ok(tally) => (Some(tally), None),
            Err(fault) => (None, Some(fault)),
        }
    } else {
        (None, check_volumes(flow, &bundle, request))
    };
    Verdict { bundle: Some(bundle), tally, fault }
}

fn check_volumes(flow: &Flow, bundle: &Trusted, request: &Request) -> Option<Fault> {
    let volumes = &bundle.manifest().volumes;
    let beyond: Vec<Fault> = (request.volumes.iter())
        .filter(|&&number| number == 0 || number > volumes.len())
        .map(|number| {
            Fault::new(Class::Usage, format!("--volume {number}: expected 1 to {}", volumes.len()))
                .help("see the volumes: packmule inspect")
        })
        .collect();
    if !beyond.is_empty() {
        return Fault::from_list(beyond);
    }
    let bytes = request.volumes.iter().map(|number| volumes[number - 1].size).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: request.volumes.len() as u64 });
    let mut faults = Vec::new();
    for number in &request.volumes {
        if let Err(error) = check_volume(bundle, number - 1, flow) {
            faults.push(Fault::from(error));
            if request.fail_fast {
                break;
            }
        }
    }
    Fault::from_list(faults)
}
