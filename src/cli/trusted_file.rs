//! Text files that decide what this program does. They are read only if nobody but root and the
//! current user can have written them.

use std::io::Read as _;
use std::path::Path;

use super::world::World;
use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::system::{self, Hop};

/// The kind of a file, for messages.
pub struct Kind {
    /// Noun for the file.
    pub noun: &'static str,
    /// Option that names another file.
    pub option: &'static str,
    /// Maximum size in bytes.
    pub most: u64,
}

/// Reads a plain file that only its owner can write. The owner must be root or the current user. A link
/// is followed if nobody else can have made it lead here: it, every further link, and every folder on
/// the way must be root's or the current user's, and no folder writable by others.
///
/// # Errors
/// Class usage, with the reason.
pub fn read_bytes(path: &Path, kind: &Kind, world: &World) -> Result<Vec<u8>, Fault> {
    let shown = escape(&path.to_string_lossy());
    let wrong = |found: Description, help: &str| {
        Fault::new(Class::Usage, found.within(format_args!("{} {shown}", kind.noun))).help(help)
    };
    let other = format!("name another one with {}", kind.option);
    let (file, hops) =
        system::open_linked(path).map_err(|unopened| wrong(unopened.error.to_string().into(), &other))?;
    if let Some(problem) = hops.iter().find_map(|hop| problem(hop, world)) {
        let help = format!("name the file itself with {}, or give what leads to it to its owner alone", kind.option);
        return Err(wrong(problem, &help));
    }
    let metadata = file.metadata().map_err(|error| wrong(error.to_string().into(), &other))?;
    if !metadata.is_file() {
        return Err(wrong(differs("", "a plain file", "another kind of file"), &other));
    }
    // Windows has neither modes nor owners; there only the directory's access control protects the
    // file.
    if let Some(mode) = system::mode(&metadata).filter(|mode| mode & 0o022 != 0) {
        let found = differs("", "a file that only its owner can write", format_args!("mode {mode:04o}"));
        return Err(wrong(found, &format!("check that nobody has changed it, then run `chmod go-w {shown}`")));
    }
    if let Some(owner) = system::owner(&metadata).filter(|owner| is_foreign(*owner, world)) {
        let found = differs(
            "",
            format_args!("a file owned by root or user {}", world.user),
            format_args!("one owned by user {owner}"),
        );
        return Err(wrong(found, "make your own copy"));
    }
    // One read, without copies: it may be a private key.
    let most = metadata.len().min(kind.most) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
    file.take(kind.most + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string().into(), &other))?;
    if bytes.len() as u64 > kind.most {
        return Err(wrong(differs("", format_args!("at most {} bytes", kind.most), "more"), &other));
    }
    Ok(bytes)
}

/// Returns whether an owner is neither root nor the current user.
const fn is_foreign(owner: u32, world: &World) -> bool {
    owner != 0 && owner != world.user
}

/// Returns what is wrong with a link or a folder on the way to a file.
fn problem(hop: &Hop, world: &World) -> Option<Description> {
    let noun = if hop.is_link { "link" } else { "directory" };
    let subject = format!("{noun} {}", escape(&hop.path.to_string_lossy()));
    if is_foreign(hop.owner, world) {
        let expected = format!("one owned by root or user {}", world.user);
        return Some(differs(subject, expected, format_args!("one owned by user {}", hop.owner)));
    }
    // In a folder with the sticky bit others cannot replace what is root's or the current user's, and in
    // one that is mounted read-only nobody can.
    let is_open = hop.mode & 0o022 != 0 && hop.mode & 0o1000 == 0 && !hop.is_read_only;
    is_open.then(|| differs(subject, "one that only its owner can write", format_args!("mode {:04o}", hop.mode)))
}

/// Like [`read_bytes`], but returns text.
///
/// # Errors
/// Class usage.
pub fn read(path: &Path, kind: &Kind, world: &World) -> Result<String, Fault> {
    String::from_utf8(read_bytes(path, kind, world)?).map_err(|_| {
        let what = differs(format_args!("{} {}", kind.noun, path.display()), "text", "bytes that are not UTF-8");
        Fault::new(Class::Usage, what).help("save it as UTF-8")
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A volume as Kubernetes mounts it: `file` leads to `..data/file`, and `..data` to `..2026`.
    struct Mounted {
        dir: tempfile::TempDir,
        world: World,
    }

    impl Mounted {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (world, ..) = World::for_test(&[], dir.path());
            let mounted = Self { dir, world };
            fs::create_dir_all(mounted.at("..2026/deep")).unwrap();
            mounted.mode("", 0o755);
            mounted.mode("..2026", 0o755);
            fs::write(mounted.at("..2026/file"), "content").unwrap();
            fs::write(mounted.at("..2026/deep/file"), "deep").unwrap();
            mounted.mode("..2026/file", 0o644);
            symlink("..2026", mounted.at("..data")).unwrap();
            symlink("..data/file", mounted.at("file")).unwrap();
            symlink("..data/deep", mounted.at("deep")).unwrap();
            mounted
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn read(&self, name: &str) -> Result<String, Fault> {
            read(&self.at(name), &Kind { noun: "policy", option: "--policy", most: 10 }, &self.world)
        }

        fn refused(&self, part: &str) {
            let fault = self.read("file").unwrap_err();
            assert!(fault.class == Class::Usage && fault.what.contains(part) && fault.help.is_some(), "{fault}");
        }
    }

    #[test]
    fn a_mounted_link_is_followed_where_nobody_else_can_change_what_it_leads_to() {
        let mounted = Mounted::new();
        assert_eq!(mounted.read("file").unwrap(), "content");
        assert_eq!(mounted.read("deep/file").unwrap(), "deep");
        assert_eq!(mounted.read("..2026/file").unwrap(), "content");
        for (name, good) in [("", 0o755), ("..2026", 0o755), ("..2026/file", 0o644)] {
            for mode in [0o775, 0o757, 0o2775] {
                mounted.mode(name, mode);
                mounted.refused("only its owner can write, found mode");
            }
            mounted.mode(name, good);
        }
        // As the root of a volume in memory: nobody can replace what is not theirs.
        mounted.mode("", 0o1777);
        mounted.mode("..2026", 0o2755);
        assert_eq!(mounted.read("file").unwrap(), "content");
        // The next version of the volume.
        fs::rename(mounted.at("..2026"), mounted.at("..2027")).unwrap();
        mounted.refused("No such file");
        fs::remove_file(mounted.at("..data")).unwrap();
        symlink("..2027", mounted.at("..data")).unwrap();
        assert_eq!(mounted.read("file").unwrap(), "content");
        fs::write(mounted.at("..2027/file"), "01234567890").unwrap();
        mounted.refused("at most 10 bytes");
    }

    #[test]
    fn each_owner_on_the_way_must_be_root_or_the_caller() {
        let mut mounted = Mounted::new();
        let own = mounted.world.user;
        for name in ["", "file", "..data", "..2026", "..2026/file"] {
            if lchown(mounted.at(name), Some(4242), None).is_err() {
                // Only root gives files away: then nothing of the tree is the caller's.
                assert_ne!(own, 0);
                mounted.world.user = own + 1;
                mounted.refused("owned by root or user");
                return;
            }
            mounted.refused("found one owned by user 4242");
            mounted.world.user = 4242;
            assert!(mounted.read("file").is_ok(), "{name}: root's and the caller's");
            mounted.world.user = own;
            lchown(mounted.at(name), Some(own), None).unwrap();
        }
        assert_eq!(mounted.read("file").unwrap(), "content");
    }
}
