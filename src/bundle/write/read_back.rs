//! Reads back what was just written, and compares each frame with its sum from the writing.
//!
//! The content was compared with its digests while it was written, and so was what each frame
//! unpacks to. So it is enough that the medium returns the same bytes, which a sum of 64 bits per
//! frame shows at a fraction of the cost of the ordinary check. It is no protection against an
//! attacker; `verify` is.

use crate::base::lock::{into_inner, lock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, Fault, expects};
use crate::bundle::format::manifest::Frame;
use crate::bundle::frames::built::sum_of;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::volumes::files::Files;
use crate::bundle::{Error, Manifest};
use crate::content::volumes::Volumes;
use crate::flow::{Event, Flow, start};
use crate::oci::Digest;
use crate::signing::Judgement;

/// Opens the unfinished bundle. It is trusted only for the read-back.
fn just_written(place: Arc<dyn Volumes>, manifest: &Manifest) -> Result<Trusted, Error> {
    let files = Arc::new(Files::new(place, manifest.name.clone()));
    let id = Digest::sha256(&manifest.to_bytes());
    let mut bundle = Trusted::new(id, manifest.clone(), files, Judgement::default())?;
    bundle.is_unfinished = true;
    Ok(bundle)
}

/// Reads back what a writer has just put at `place`, before it becomes a bundle: every frame, to be
/// compared with `sums`. Of form flat, which has no frames, the ordinary check.
///
/// # Errors
/// [`Class::Io`] for the first frame that differs from what was written; for form flat the check's
/// fault that ranks first; [`Class::Cancelled`].
pub fn read_back(place: Arc<dyn Volumes>, manifest: &Manifest, sums: &[u64], flow: &Flow) -> Result<(), Error> {
    let bundle = just_written(place, manifest)?;
    if bundle.flat().is_some() {
        let first = |fault: Fault| Error { others: Vec::new(), ..fault };
        return crate::bundle::check::parallel::check(&bundle, flow, false)
            .map(drop)
            .map_err(|refusal| first(refusal.fault));
    }
    if let Some(error) = bundle.survey(flow).into_iter().next() {
        return Err(error);
    }
    let bytes = manifest.volumes.iter().map(|volume| volume.size).sum();
    flow.event(Event::Stage { name: "reading back", bytes, items: manifest.volumes.len() as u64 });
    // Below 17 MiB by the manifest's rules.
    let largest = manifest.frames.iter().map(Frame::stored_size).max().unwrap_or_default();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(None::<(usize, Error)>));
    let work = || {
        let mut buffer = vec![0; usize::try_from(largest).unwrap_or_default()];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= manifest.frames.len() {
                break;
            }
            if let Err(error) = compare(&bundle, index, sums.get(index).copied(), &mut buffer, flow) {
                next.store(manifest.frames.len(), Ordering::Relaxed);
                let mut found = lock(&found);
                if found.as_ref().is_none_or(|(first, _)| index < *first) {
                    *found = Some((index, error));
                }
                break;
            }
        }
    };
    let ended = std::thread::scope(|scope| {
        let threads = start(scope, flow.cpus.clamp(1, manifest.frames.len().max(1)), work);
        // Waits for every thread.
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).fold(Ok(()), Result::and)
    });
    ended.map_err(|_| Error::new(Class::Bug, "internal error: a worker of the read-back ended early"))?;
    into_inner(found).map_or(Ok(()), |(_, error)| Err(error))
}

/// Reads one frame, and compares it with its sum from the writing.
fn compare(bundle: &Trusted, index: usize, sum: Option<u64>, buffer: &mut [u8], flow: &Flow) -> Result<(), Error> {
    flow.check()?;
    let place = bundle.offsets().place(index);
    let bytes = &mut buffer[..usize::try_from(place.size).unwrap_or_default()];
    bundle.volumes().read_exact(place.volume, place.offset, bytes)?;
    flow.event(Event::Bytes(place.size));
    let sum = sum.ok_or_else(|| Error::new(Class::Bug, format!("frame {}: no sum from the writing", index + 1)))?;
    if sum_of(bytes, &bundle.manifest().frames[index]) == Some(sum) {
        return Ok(());
    }
    let shown = bundle.volumes().place().shown(&bundle.volumes().file_name(place.volume));
    let what = expects(
        format_args!("{shown}, offset {}", place.offset),
        format_args!("frame {} as it was written, read back other bytes", index + 1),
    );
    Err(Error::new(Class::Io, what).help("the medium or the memory of this machine is faulty: write to another medium"))
}
