//! Writes form flat: every blob as its own file. Blobs are fetched in parallel, and get their names
//! only when they are complete. What a killed run left is hashed again and kept.

use std::fs;
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use super::input::{Input, InputBlob};
use super::local_store::sync;
use super::outcome::{Options, Written, wrong_twice};
use super::output::Output;
use super::own_file::{create, make_own_folder, write_error};
use super::{publish, resume};
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::bundle::format::manifest::{Form, Manifest};
use crate::bundle::format::tar::Tar;
use crate::content::Source;
use crate::content::checked::{Checked, read_some};
use crate::flow::{Event, Flow, each};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher};

/// Number of bytes copied at once.
const STEP: usize = 1 << 20;
/// Size in bytes of the largest file that FAT32 and ISO 9660 hold.
const SMALL_FILE: u64 = (4 << 30) - 1;

/// Writes the bundle in form flat; resumes an unfinished run of the same input.
///
/// # Errors
/// Those of [`super::writer::write`].
pub fn write(
    flow: &Flow,
    source: &dyn Source,
    output: &Output,
    input: &Input,
    options: Options<'_>,
) -> Result<Written, Error> {
    check_start(flow, output, input)?;
    resume::begin(flow, output, input)?;
    resume::undo_renames(output)?;
    let root = output.partial_flat();
    let folder = |path: &Path| make_own_folder(path).map_err(|error| write_error(path, &error));
    folder(&root)?;
    folder(&root.join("blobs"))?;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        if input.blobs.iter().any(|blob| blob.descriptor.digest.algorithm() == algorithm) {
            folder(&root.join("blobs").join(algorithm.name()))?;
        }
    }
    let bytes = input.blobs.iter().map(|blob| blob.descriptor.size).sum();
    flow.event(Event::Stage { name: "writing", bytes, items: input.blobs.len() as u64 });
    let done = each(flow, &input.blobs, |blob| {
        let wrong = one(flow, source, &root, blob, options.leave_out)?;
        if wrong.is_none() {
            let Descriptor { digest, size, .. } = blob.descriptor;
            put(output, &format!("blobs/{}/{}", digest.algorithm().name(), digest.hex()), size, digest)?;
        }
        Ok(wrong)
    })?;
    let mut input = input.clone();
    let mut left_out = Vec::new();
    for (index, done) in done.into_iter().enumerate().rev() {
        match done {
            Ok(None) => {}
            Ok(Some(what)) if options.leave_out && input.blobs[index].document.is_none() => {
                flow.warn(format!("{what}, twice: left out"));
                left_out.push(what);
                input = input.without(index);
                resume::pin(output, &input)?;
            }
            Ok(Some(what)) => return Err(wrong_twice(&what)),
            Err(error) => return Err(error),
        }
    }
    let manifest = Manifest { form: Form::Flat, ..input.manifest(Vec::new(), Vec::new()) };
    let tar = input.tar()?;
    for member in 0..Tar::of_blob(0) {
        let path = root.join(tar.name(member));
        let (mut content, mut hasher) = (tar.computed(member, 0), Hasher::new(Algorithm::Sha256));
        let mut file = create(&path).map(BufWriter::new).map_err(|error| write_error(&path, &error))?;
        loop {
            flow.check()?;
            match content.piece(STEP) {
                [] => break,
                piece => {
                    hasher.update(piece);
                    file.write_all(piece).map_err(|error| write_error(&path, &error))?;
                }
            }
        }
        file.flush().map_err(|error| write_error(&path, &error))?;
        sync(&path)?;
        put(output, &tar.name(member), tar.size(member), hasher.finish())?;
    }
    sync_folders(&root)?;
    left_out.reverse();
    Ok(Written { left_out, ..publish::finish(flow, output, manifest, &[], options)? })
}

/// Passes a whole file to the store. `path` is its path below the bundle's folder.
fn put(output: &Output, path: &str, size: u64, digest: Digest) -> Result<(), Error> {
    let name = format!("{}/{path}", output.name().flat());
    publish::put(output, &name, output.partial_flat().join(path), (size, digest, Vec::new()))
}

/// Refuses what cannot succeed, before anything is fetched or written.
fn check_start(flow: &Flow, output: &Output, input: &Input) -> Result<(), Error> {
    input.check_limits(0)?;
    let sizes = || input.blobs.iter().map(|blob| blob.descriptor.size);
    let bytes = sizes().fold(0_u64, u64::saturating_add);
    let largest = sizes().max().unwrap_or_default();
    output.check_room(0, bytes, largest).map_err(advised)?.into_iter().for_each(|warning| flow.warn(warning));
    let descriptors = input.blobs.iter().map(|blob| &blob.descriptor);
    warnings(descriptors).into_iter().for_each(|text| flow.warn(text));
    Ok(())
}

/// Adds the advice for this form to the error of a file system that cannot hold a file of such a
/// size.
fn advised(error: Error) -> Error {
    match error.class {
        Class::Usage => error.help("write volumes: omit --flat"),
        _ => error,
    }
}

/// Returns warnings about blobs that some media cannot hold as files.
fn warnings<'a>(blobs: impl Iterator<Item = &'a Descriptor> + Clone) -> Vec<String> {
    let mut texts = Vec::new();
    let largest = blobs.clone().map(|blob| blob.size).max().unwrap_or_default();
    if largest > SMALL_FILE {
        texts.push(format!("a blob has {largest} bytes: FAT32 and ISO 9660 hold files of at most {SMALL_FILE}"));
    }
    if blobs.into_iter().any(|blob| blob.digest.algorithm() == Algorithm::Sha512) {
        texts.push("a blob has a sha512 digest: Joliet holds no names of that length".to_owned());
    }
    texts
}

fn sync_folders(root: &Path) -> Result<(), Error> {
    let blobs = root.join("blobs");
    let all = [blobs.join("sha256"), blobs.join("sha512"), blobs, root.to_owned()];
    all.iter()
        .filter(|path| path.exists())
        .try_for_each(|path| crate::system::sync_folder(path).map_err(|error| Error::io(path.display(), &error)))
}

/// Fetches one blob, and again if it was wrong or missing. Returns the problem if it still is.
fn one(
    flow: &Flow,
    source: &dyn Source,
    root: &Path,
    blob: &InputBlob,
    leave_out: bool,
) -> Result<Option<String>, Error> {
    let digest = blob.descriptor.digest;
    let path = root.join("blobs").join(digest.algorithm().name()).join(digest.hex());
    if is_whole(flow, &path, digest, blob.descriptor.size)? {
        flow.event(Event::Bytes(blob.descriptor.size));
        return Ok(None);
    }
    let mut what = String::new();
    for attempt in 0..2 {
        flow.check()?;
        let Err(error) = bring(flow, source, blob, &path) else {
            flow.event(Event::Item(digest.to_string()));
            return Ok(None);
        };
        if !super::fetch::is_its_own(&error, source, blob, leave_out) {
            return Err(error.into_fault(Class::Source));
        }
        what = format!("blob {digest} from {}: {}", blob.repository, error.what);
        if attempt == 0 {
            flow.warn(format!("{what}: fetching it once more"));
        }
    }
    Ok(Some(what))
}

fn is_whole(flow: &Flow, path: &Path, digest: Digest, size: u64) -> Result<bool, Error> {
    let Some((mut file, found)) = crate::bundle::volumes::local::open_plain(path)? else { return Ok(false) };
    if found != size {
        return Ok(false);
    }
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; STEP];
    loop {
        flow.check()?;
        match read_some(&mut file, &mut buffer).map_err(|error| Error::io(path.display(), &error))? {
            0 => return Ok(hasher.finish() == digest),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Stores the blob under its name. Leaves nothing of it on failure.
fn bring(flow: &Flow, source: &dyn Source, blob: &InputBlob, path: &Path) -> Result<(), crate::content::Error> {
    let temporary: PathBuf = path.with_extension("partial");
    let brought = bring_as(flow, source, blob, &temporary, path);
    if brought.is_err() {
        // It may not exist; if it stays, the read-back reports it.
        let _ = fs::remove_file(&temporary);
    }
    brought
}

fn bring_as(
    flow: &Flow,
    source: &dyn Source,
    blob: &InputBlob,
    temporary: &Path,
    path: &Path,
) -> Result<(), crate::content::Error> {
    let local = |path: &Path, error: &std::io::Error| crate::content::Error::from(write_error(path, error));
    let mut file = create(temporary).map_err(|error| local(temporary, &error))?;
    let reader: Box<dyn Read + Send> = match &blob.document {
        Some(document) => Box::new(std::io::Cursor::new(document.raw().to_vec())),
        None => source.blob(&blob.repository, &blob.descriptor)?,
    };
    let mut reader = Checked::new(reader, blob.descriptor.clone());
    let mut buffer = vec![0; STEP];
    loop {
        flow.check()?;
        let count =
            read_some(&mut reader, &mut buffer).map_err(|error| crate::content::Error::from_io("source", error))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(|error| local(temporary, &error))?;
        flow.event(Event::Bytes(count as u64));
    }
    drop(file);
    sync(temporary).map_err(crate::content::Error::from)?;
    fs::rename(temporary, path).map_err(|error| local(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_are_limited_volumes_are_advised() {
        let help = |class: Class| advised(Error::new(class, "too large").help("smaller volumes")).help;
        assert_eq!(help(Class::Usage).as_deref(), Some("write volumes: omit --flat"));
        assert_eq!(help(Class::Io).as_deref(), Some("smaller volumes"));
    }

    #[test]
    fn what_a_medium_may_not_hold_is_told() {
        const MOST: u64 = 4_294_967_295;
        let told = |algorithm: Algorithm, size: u64| {
            let blobs = [
                Descriptor::new("a/b", Digest::sha256(b"x"), 1),
                Descriptor::new("a/b", Digest::of(algorithm, b"y"), size),
            ];
            warnings(blobs.iter()).join(", ")
        };
        assert_eq!(told(Algorithm::Sha256, MOST), "");
        for size in [MOST + 1, u64::MAX] {
            assert!(told(Algorithm::Sha256, size).contains(&format!("a blob has {size} bytes")), "{size}");
        }
        assert!(told(Algorithm::Sha512, MOST).starts_with("a blob has a sha512 digest"));
    }
}
