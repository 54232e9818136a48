//! Checks for output files that the operator names: lists, receipts, reports, logs, signatures,
//! keys.
//!
//! A mistyped name must not destroy anything. A file is changed only if its content shows that an
//! earlier run wrote it as an output of this kind. Links are not followed; streams are written to
//! and never replaced; and the names of a bundle's files are refused. Every command uses these
//! checks. Writes nothing itself.
//!
//! Builds on `system`, which must not know about bundles or packmule's outputs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault, differs, escape};
use crate::system::{self, Found, Unopened};

/// First bytes of every bundle manifest.
pub const MANIFEST_BEGINS: &[u8] = b"{\"absent\":[";

/// State of the name of an output.
#[derive(Debug)]
pub enum Place {
    /// Nothing exists: the file can be created.
    Free,
    /// An empty file, or one that an earlier run wrote: it can be replaced.
    Own,
    /// A character device, a pipe, or an open file of this process: it is written to directly.
    Stream(File),
}

/// Reason why a name cannot be used for an output.
#[derive(Debug)]
pub enum Refusal {
    /// A file that packmule did not write, or that is of another kind.
    Other,
    /// A file of the bundle with this manifest.
    Bundle(PathBuf),
    /// A symbolic link.
    Link,
    /// An error of the system, or something that is not a file.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Unopened> for Refusal {
    fn from(unopened: Unopened) -> Self {
        if unopened.found == Found::Link { Self::Link } else { Self::Io(unopened.error) }
    }
}

impl Refusal {
    /// Converts to a fault. `subject` is the option and the name, `noun` the kind of the output.
    pub fn into_fault(self, subject: &str, noun: &str) -> Fault {
        let (class, found, help) = match self {
            Self::Other => {
                let found = differs("", format_args!("no file or an earlier {noun}"), "another file");
                (Class::Usage, found, "name another file; packmule changes only files that it wrote")
            }
            Self::Bundle(manifest) => {
                let found = format!("it is a file of the bundle {}", escape(&manifest.to_string_lossy())).into();
                (Class::Usage, found, "name another file, preferably in another directory")
            }
            Self::Link => {
                let found = differs("", "a plain file", "a symbolic link");
                (Class::Io, found, "name the file itself")
            }
            Self::Io(error) => {
                (Class::Io, error.to_string().into(), "name a file in an existing directory where you can write")
            }
        };
        Fault::new(class, found).within(subject).help(help)
    }
}

/// Checks the state of `path`. `is_own` decides whether an earlier run wrote a plain file that is
/// not empty.
///
/// # Errors
/// [`Refusal`], with the reason why nothing may be written there.
pub fn look(path: &Path, is_own: impl FnOnce(&File) -> io::Result<bool>) -> Result<Place, Refusal> {
    check_name(path)?;
    if let Some(stream) = system::open_stream(path)? {
        return Ok(Place::Stream(stream));
    }
    match system::open_file(path) {
        Ok(file) if file.metadata()?.len() == 0 || is_own(&file)? => Ok(Place::Own),
        Ok(_) => Err(Refusal::Other),
        Err(unopened) if unopened.found == Found::Nothing => Ok(Place::Free),
        Err(unopened) => Err(unopened.into()),
    }
}

/// Refuses the names of files of a bundle in the same folder, including names that the bundle does
/// not use.
///
/// # Errors
/// [`Refusal::Bundle`].
pub fn check_name(path: &Path) -> Result<(), Refusal> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Inside the folder of a bundle in flat form.
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let flat = full.ancestors().filter(|above| above.extension().is_some_and(|end| end == "oci"));
    if let Some(manifest) = flat.map(|above| above.with_extension("json")).find(|path| is_manifest(path)) {
        return Err(Refusal::Bundle(manifest));
    }
    // The name of a bundle contains no dot.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, rest)) = name.split_once('.') else { return Ok(()) };
    let ends =
        |end: &str| rest.strip_suffix(end).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_reserved = matches!(rest, "json" | "sig.json" | "sha256" | "oci" | "lock")
        || rest.ends_with(".partial")
        || ends(".tar.zst")
        || ends(".par");
    let manifest = folder.join(format!("{stem}.json"));
    if is_reserved && is_manifest(&manifest) { Err(Refusal::Bundle(manifest)) } else { Ok(()) }
}

/// Reports whether a plain file begins like a bundle manifest.
pub fn is_manifest(path: &Path) -> bool {
    system::open_file(path).is_ok_and(|file| begins(&file, MANIFEST_BEGINS).unwrap_or(false))
}

/// Reports whether a file begins with `bytes`.
///
/// # Errors
/// Errors of the system.
pub fn begins(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    file.take(bytes.len() as u64).read_to_end(&mut found)?;
    Ok(found == bytes)
}

/// Directories below which media are mounted. A folder there without a mounted medium is on the
/// wrong disk.
const MEDIA: [&str; 3] = ["/run/media", "/media", "/mnt"];
/// Directories that have no user files.
const SPECIAL: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Exception below [`SPECIAL`], where files are allowed.
const MEMORY: &str = "/dev/shm";

/// Refuses folders that cannot hold a bundle, layout or file, and folders that would have to be
/// created below an empty mount point. `subject` is the option and the name.
///
/// # Errors
/// [`Class::Io`].
pub fn check_folder(folder: &Path, subject: &str) -> Result<(), Fault> {
    let (real, rest) = real(folder);
    if SPECIAL.iter().any(|root| real.starts_with(root)) && !real.starts_with(MEMORY) {
        let what = differs(subject, "a directory for files", "one for devices");
        return Err(Fault::new(Class::Io, what).help("mount the medium, and name the directory where it is mounted"));
    }
    // The last component may be created; those above it should come from the medium.
    if rest > 1 && MEDIA.iter().any(|root| real.starts_with(root)) {
        let what = differs(subject, "an existing parent directory", "none");
        return Err(
            Fault::new(Class::Io, what).help("check that the medium is mounted; otherwise create the directory")
        );
    }
    Ok(())
}

/// Returns a warning if `folder` is below a directory for media but not on a medium.
pub fn unmounted(folder: &Path) -> Option<String> {
    MEDIA.iter().find_map(|root| unmounted_below(folder, Path::new(root)))
}

fn unmounted_below(folder: &Path, root: &Path) -> Option<String> {
    let (real, _) = real(folder);
    let device = |path: &Path| path.metadata().ok().and_then(|found| system::device(&found));
    let below = real.starts_with(root.canonicalize().ok()?);
    let above = [Some(Path::new("/")), root.parent()].into_iter().flatten().filter_map(device);
    let is_same = device(&real).is_some_and(|own| above.into_iter().any(|above| above == own));
    (below && is_same).then(|| {
        format!("{}: expected a medium mounted there, found none: it is on this machine's own disk", folder.display())
    })
}

/// Returns the nearest existing folder of `path`, with links resolved, and the number of missing
/// path components.
fn real(path: &Path) -> (PathBuf, usize) {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = full.ancestors().enumerate().find_map(|(missing, above)| Some((above.canonicalize().ok()?, missing)));
    found.unwrap_or((full, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "the form that `look` takes")]
    fn never(_: &File) -> io::Result<bool> {
        Ok(false)
    }

    #[test]
    fn a_file_is_known_by_its_content_and_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("mine"), "begin and more").unwrap();
        std::fs::write(path("short"), "beg").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        let found = |name: &str| look(&path(name), |file| begins(file, b"begin"));
        assert!(matches!(found("mine"), Ok(Place::Own)) && matches!(found("empty"), Ok(Place::Own)));
        assert!(matches!(found("short"), Err(Refusal::Other)) && matches!(found("none"), Ok(Place::Free)));
        assert!(matches!(found("."), Err(Refusal::Io(_))));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_refused_and_streams_are_written_to() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("device")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), 0o600.into()).unwrap();
        for name in ["link", "device"] {
            assert!(matches!(look(&path(name), never), Err(Refusal::Link)), "{name}");
        }
        // No reader.
        assert!(matches!(look(&path("pipe"), never), Err(Refusal::Io(_))));
        let reader = std::thread::spawn({
            let pipe = path("pipe");
            move || std::fs::read(pipe).unwrap()
        });
        let mut stream = loop {
            match look(&path("pipe"), never) {
                Ok(Place::Stream(stream)) => break stream,
                // Does not exist yet.
                Err(Refusal::Io(_)) => std::thread::yield_now(),
                other => unreachable!("{other:?}"),
            }
        };
        stream.write_all(b"through").unwrap();
        drop(stream);
        assert_eq!(reader.join().unwrap(), b"through");
        for device in ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/2"] {
            assert!(matches!(look(Path::new(device), never), Ok(Place::Stream(_))), "{device}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_empty_mount_point_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("media");
        std::fs::create_dir_all(root.join("usb")).unwrap();
        for folder in ["media", "media/usb", "media/usb/new", "media/none/new"] {
            assert!(unmounted_below(&dir.path().join(folder), &root).is_some(), "{folder}");
        }
        assert!(unmounted_below(dir.path(), &root).is_none());
        // Another file system counts as a medium.
        assert!(unmounted_below(Path::new("/proc/self"), Path::new("/proc")).is_none());
        for folder in ["/dev", "/dev/sdq", "/proc/self", "/sys/new"] {
            assert_eq!(check_folder(Path::new(folder), "-o").unwrap_err().class, Class::Io, "{folder}");
        }
        assert!(check_folder(&root.join("a/b/c"), "-o").is_ok());
    }

    #[test]
    fn no_name_of_a_bundles_files_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("a.oci/blobs/sha256")).unwrap();
        std::fs::write(path("a.json"), "{\"absent\":[],").unwrap();
        std::fs::write(path("other.json"), "{\"name\":1}").unwrap();
        let refused = |name: &str| matches!(check_name(&path(name)), Err(Refusal::Bundle(_)));
        for name in [
            "a.json",
            "a.sig.json",
            "a.sha256",
            "a.oci",
            "a.lock",
            "a.0001.tar.zst",
            "a.0009.par",
            "a.plan.partial",
            "a.oci/report.html",
            "a.oci/blobs/sha256/x",
        ] {
            assert!(refused(name), "{name}");
        }
        for name in ["a.html", "a.report.json", "a.log", "a", "b.json", "other.json", "other.sha256", "a.x.tar.zst"] {
            assert!(!refused(name), "{name}");
        }
    }
}
