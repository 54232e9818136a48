//! Checks a flat bundle: compares or hashes every file (`spec/verification.md`).
//!
//! [`crate::bundle::volumes::flat`] finds missing and extra files.

use std::ops::Range;

use super::gate::{Gate, Tally};
use super::unit::passed;
use super::workers::{Findings, check_all};
use crate::base::fault::{Fault, expects};
use crate::bundle::Error;
use crate::bundle::format::computed::Reader;
use crate::bundle::format::tar::{Content, Tar};
use crate::bundle::open::trusted::Trusted;
use crate::bundle::volumes::files::fault;
use crate::bundle::volumes::flat::{Flat, path_of};
use crate::content;
use crate::content::checked::read_some;
use crate::flow::{Event, Flow};
use crate::oci::{Digest, Hasher};

/// Maximum number of bytes read at once.
const STEP: usize = 1 << 20;

/// Reads one member and compares or hashes every byte. Returns the number of bytes.
fn check(files: &Flat, tar: &Tar, member: usize, flow: &Flow) -> Result<u64, Error> {
    let (path, size) = (path_of(tar, member), tar.size(member));
    let shown = files.shown(&path);
    let mut file = files.file(&path, size)?;
    let mut buffer = vec![0; STEP.min(usize::try_from(size).unwrap_or(STEP).max(1))];
    let mut content = match tar.content(member) {
        Content::Blob(digest) => Expected::Digest(digest, Box::new(Hasher::new(digest.algorithm()))),
        Content::Computed => Expected::Bytes(tar.computed(member, 0)),
    };
    let mut at = 0;
    loop {
        flow.check()?;
        let count = read_some(&mut file, &mut buffer)
            .map_err(|error| fault(content::Error::from_io(format_args!("{shown}, offset {at}"), error)))?;
        if count == 0 {
            break;
        }
        match &mut content {
            Expected::Digest(_, hasher) => hasher.update(&buffer[..count]),
            Expected::Bytes(expected) => {
                if !expected.is_next(&buffer[..count]) {
                    return Err(Error::integrity(format!("{shown}: content differs from the computed one")));
                }
            }
        }
        at += count as u64;
        flow.event(Event::Bytes(count as u64));
    }
    if at != size {
        return Err(Error::integrity(expects(shown, format_args!("{size} bytes, read {at}"))));
    }
    if let Expected::Digest(expected, hasher) = content {
        let found = hasher.finish();
        if found != expected {
            return Err(Error::integrity(format!("{shown}: content has digest {found}")));
        }
    }
    Ok(size)
}

/// Expected content of a file.
enum Expected<'a> {
    /// Content with this digest.
    Digest(Digest, Box<Hasher>),
    /// These bytes.
    Bytes(Reader<'a>),
}

/// Compares the computed files. An import must check them although no artifact refers to them.
///
/// # Errors
/// [`Integrity`](crate::base::fault::Class::Integrity), [`Io`](crate::base::fault::Class::Io).
pub(in crate::bundle) fn check_computed(files: &Flat, bundle: &Trusted, flow: &Flow) -> Result<(), Error> {
    let tar = &bundle.offsets().tar;
    (0..Tar::of_blob(0)).try_for_each(|member| check(files, tar, member, flow).map(drop))
}

/// Returns the counts that the manifest lists, as a whole and for each file.
pub(in crate::bundle) fn counts(bundle: &Trusted) -> (Tally, Vec<Tally>) {
    let tar = &bundle.offsets().tar;
    let bytes = (0..tar.members()).map(|member| tar.size(member)).sum();
    let whole = Tally { members: tar.members() as u64, blobs: bundle.manifest().blobs.len() as u64, frames: 0, bytes };
    (whole, (0..tar.members()).map(|member| count(member, tar.size(member))).collect())
}

/// Returns the counts of one file.
fn count(member: usize, bytes: u64) -> Tally {
    let blobs = u64::from(member >= Tar::of_blob(0));
    Tally { members: 1, blobs, frames: 0, bytes }
}

/// Checks some files of a flat bundle, each in one thread, and pins them in `gate`, where the first has
/// number 0. Survey and closure are left to the caller, which passes the faults found so far as
/// `faults`.
///
/// # Errors
/// The fault whose class ranks first, with the others after it.
pub(in crate::bundle) fn check_files(
    files: &Flat,
    bundle: &Trusted,
    (members, gate): (Range<usize>, Gate),
    flow: &Flow,
    fail_fast: bool,
    mut faults: Vec<Fault>,
) -> Result<Tally, Fault> {
    let tar = &bundle.offsets().tar;
    let bytes = members.clone().map(|member| tar.size(member)).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: members.len() as u64 });
    // The largest first, so that the threads end together.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(tar.size(members.start + index)));
    let findings = Findings::new(fail_fast);
    check_all(&gate, &order, &findings, flow, |index| {
        let member = members.start + index;
        check(files, tar, member, flow).map(|size| Some(count(member, size)))
    });
    faults.extend(findings.into_sorted());
    passed(gate, faults)
}
