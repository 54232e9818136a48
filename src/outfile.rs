//! Files that an operator names to be written: lists, receipts, reports, logs, signatures, keys.
//!
//! A mistyped name must destroy nothing. A file is changed only if an earlier run wrote one of its kind, which its content
//! tells and not its name; links are not followed; what is no file is written to and never replaced; and no name of a
//! bundle's files is taken. Every command asks here. Writes nothing itself.
//!
//! It stands above `system`, which knows files but neither bundles nor what packmule writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault, escape};
use crate::system::{self, Found, Unopened};

/// How every bundle's manifest begins.
pub const MANIFEST_BEGINS: &[u8] = b"{\"absent\":[";

/// The state of an output's name.
#[derive(Debug)]
pub enum Place {
    /// Nothing: the file can be made.
    Free,
    /// A file that an earlier run wrote, or an empty one: it can be replaced.
    Own,
    /// A character device, a pipe, or what the process has open already: it is written to as it is.
    Stream(File),
}

/// Why a name is no output.
#[derive(Debug)]
pub enum Refusal {
    /// A file that is none of packmule's, or not of this kind.
    Other,
    /// A file of the bundle that this manifest belongs to.
    Bundle(PathBuf),
    /// A symbolic link.
    Link,
    /// The system's, or another kind of thing.
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
    /// The fault: `subject` is the option and the name, `noun` what the file is.
    pub fn into_fault(self, subject: &str, noun: &str) -> Fault {
        let (class, found, help) = match self {
            Self::Other => {
                let found = format!("expected no file or an earlier {noun}, found another file");
                (Class::Usage, found, "name another file; no file that packmule did not write is changed")
            }
            Self::Bundle(manifest) => {
                let found = format!("it is a file of the bundle {}", escape(&manifest.to_string_lossy()));
                (Class::Usage, found, "name another file, best in another directory")
            }
            Self::Link => {
                let found = "expected a plain file, found a symbolic link".to_owned();
                (Class::Io, found, "name the file itself")
            }
            Self::Io(error) => {
                (Class::Io, error.to_string(), "name a file in a directory that is there, where you can write")
            }
        };
        Fault::new(class, format!("{subject}: {found}")).help(help)
    }
}

/// Looks what stands at `path`. `is_own` says of a plain file with content whether an earlier run wrote it.
///
/// # Errors
/// Why nothing may be written there.
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

/// Refuses the names of the files of a bundle that lies there, also of those that it does not have.
///
/// # Errors
/// [`Refusal::Bundle`].
pub fn check_name(path: &Path) -> Result<(), Refusal> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Among the files of form flat.
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let flat = full.ancestors().filter(|above| above.extension().is_some_and(|end| end == "oci"));
    if let Some(manifest) = flat.map(|above| above.with_extension("json")).find(|path| is_manifest(path)) {
        return Err(Refusal::Bundle(manifest));
    }
    // A bundle's name has no dot.
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

/// Whether a plain file begins as a bundle's manifest does.
pub fn is_manifest(path: &Path) -> bool {
    system::open_file(path).is_ok_and(|file| begins(&file, MANIFEST_BEGINS).unwrap_or(false))
}

/// Whether a file begins with `bytes`.
///
/// # Errors
/// The system's.
pub fn begins(file: &File, bytes: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    file.take(bytes.len() as u64).read_to_end(&mut found)?;
    Ok(found == bytes)
}

/// Below these media are mounted, and a folder in which none is lies on another disk than it seems to.
const MEDIA: [&str; 3] = ["/run/media", "/media", "/mnt"];
/// Below these lie no files of anybody's.
const SPECIAL: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Below those, where files may lie.
const MEMORY: &str = "/dev/shm";

/// Refuses folders in which no bundle, layout or file can lie, and those that would have to be made below an empty mount
/// point. `subject` is the option and the name.
///
/// # Errors
/// [`Class::Io`].
pub fn check_folder(folder: &Path, subject: &str) -> Result<(), Fault> {
    let (real, rest) = real(folder);
    if SPECIAL.iter().any(|root| real.starts_with(root)) && !real.starts_with(MEMORY) {
        let what = format!("{subject}: expected a directory for files, found one of devices");
        return Err(Fault::new(Class::Io, what).help("mount the medium, and name the directory where it is mounted"));
    }
    // The last part may be made; what is above it would be the medium's.
    if rest > 1 && MEDIA.iter().any(|root| real.starts_with(root)) {
        let what = format!("{subject}: expected a directory that is there, found none above it");
        return Err(Fault::new(Class::Io, what).help("look whether the medium is mounted; else make the directory"));
    }
    Ok(())
}

/// A warning where `folder` lies below a directory for media, and on no medium.
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
        format!("{}: expected a medium mounted there, found none: it lies on this machine's own disk", folder.display())
    })
}

/// The nearest folder of `path` that is there, without links, and how many parts of the path are not.
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
        // Nobody reads.
        assert!(matches!(look(&path("pipe"), never), Err(Refusal::Io(_))));
        let reader = std::thread::spawn({
            let pipe = path("pipe");
            move || std::fs::read(pipe).unwrap()
        });
        let mut stream = loop {
            match look(&path("pipe"), never) {
                Ok(Place::Stream(stream)) => break stream,
                // Not there yet.
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
        // Another file system is a medium.
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
