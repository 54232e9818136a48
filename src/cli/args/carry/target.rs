//! `-o`: where a new bundle goes. In a directory it is written in place; for a container it is written
//! in a stage, which its volumes leave one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::channel::There;
use crate::base::fault::{Class, Fault};
use crate::bundle::format::manifest::MAX_MANIFEST;
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{Name, Output};
use crate::cli::Session;
use crate::cli::args::container::{Address, is_container};
use crate::cli::containers;

/// Where a new bundle is written, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The directory in which it is written.
    pub dir: PathBuf,
    /// Its name.
    pub name: Name,
    /// The container that it goes to, if it does not stay in the directory.
    pub container: Option<Address>,
}

/// Where a new bundle is to go. What is missing of its name, its channel gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputRequest {
    /// A directory, or a bundle's path.
    Files {
        /// The path, as typed or configured.
        path: PathBuf,
        /// Names the path in messages.
        subject: String,
    },
    /// A container.
    Container {
        /// Its address.
        address: Address,
        /// The bundle's name; `None` for that of its channel.
        name: Option<Name>,
        /// Directory for the volumes that are not sent yet.
        stage: PathBuf,
        /// Names the stage in messages.
        subject: String,
    },
}

impl OutputRequest {
    /// Parses `-o` together with `--stage`. `by_channel` says whether a channel gives the name.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(output: &Path, stage: Option<&Path>, by_channel: bool) -> Result<Self, Fault> {
        if !is_container(output.as_os_str()) {
            if stage.is_some() {
                let what = "--stage: expected -o with a container, found a directory";
                return Err(Fault::usage(what, "leave out --stage: the bundle is written where it stays"));
            }
            return Ok(Self::Files { path: output.to_owned(), subject: format!("-o {}", output.display()) });
        }
        let (address, name) = if by_channel {
            (Address::parse(output.as_os_str())?, None)
        } else {
            Address::parse_bundle(output.as_os_str()).map(|(address, name)| (address, Some(name)))?
        };
        let Some(stage) = stage else {
            let what = format!("-o {address}: expected --stage as well, found none");
            return Err(Fault::usage(what, "name a directory for the volumes that are not sent yet: --stage DIR"));
        };
        let subject = format!("--stage {}", stage.display());
        Ok(Self::Container { address, name, stage: stage.to_owned(), subject })
    }

    /// Returns where the bundle goes. `channel` is the name that its channel gives.
    ///
    /// # Errors
    /// Class usage; class io for a missing directory.
    pub fn target(&self, channel: Option<&str>, session: &Session<'_>) -> Result<Target, Fault> {
        match self {
            Self::Files { path, subject } => {
                let (dir, name) = target(path, subject, session, channel)?;
                Ok(Target { dir, name, container: None })
            }
            Self::Container { address, name, stage, subject } => {
                let name = match (channel, name) {
                    (Some(channel), _) => Name::new(channel)?,
                    (None, Some(name)) => name.clone(),
                    (None, None) => {
                        let what = format!("{address}: expected a bundle's name, found neither a name nor a channel");
                        return Err(Fault::usage(what, "give the bundle a name"));
                    }
                };
                let dir = session.path(stage);
                if !dir.is_dir() {
                    let what = format!("{subject}: expected a directory, found none");
                    return Err(Fault::new(Class::Io, what).help("make the directory, or name another one"));
                }
                crate::outfile::check_folder(&dir, subject)?;
                Ok(Target { dir, name, container: Some(address.clone()) })
            }
        }
    }
}

impl Target {
    /// Opens the directory for writing, with the container behind it.
    ///
    /// # Errors
    /// Those of [`Output::open`]; class usage if the container has a bundle of this name and it is
    /// not to be replaced; class destination.
    pub fn open(&self, overwrite: bool, session: &Session<'_>) -> Result<Output, Fault> {
        let Some(address) = &self.container else { return Output::open(&self.dir, &self.name, overwrite) };
        let output = Output::open(&self.dir, &self.name, false)?;
        // An unfinished run of this bundle may have written its manifest already.
        let is_new = !output.plan().exists();
        let store = containers::store(address, &self.name, (overwrite, is_new), session)?;
        Ok(output.stored_in(Arc::from(store)))
    }

    /// Returns what an earlier run left of this bundle.
    ///
    /// # Errors
    /// Those of the container.
    pub fn found(&self, session: &Session<'_>) -> Result<There, Fault> {
        let path = self.dir.join(self.name.as_str());
        let manifest = match &self.container {
            None => read_capped(&path.with_extension("json"), MAX_MANIFEST).ok().flatten(),
            Some(address) => containers::manifest(address, &self.name, session)?,
        };
        Ok(There { manifest, is_unfinished: path.with_extension("plan.partial").exists() })
    }
}

/// Returns the directory of a new bundle, which must exist, and its name. In a directory, `channel`
/// gives the name.
///
/// # Errors
/// Class usage; class io for a missing directory.
fn target(path: &Path, subject: &str, session: &Session<'_>, channel: Option<&str>) -> Result<(PathBuf, Name), Fault> {
    let full = session.path(path);
    // A `Path` drops a slash or dot at its end; a missing directory would then be taken for a
    // bundle's name.
    let last = path.as_os_str().as_encoded_bytes().rsplit(|byte| *byte == b'/').next();
    let is_folder = matches!(last, Some(b"" | b"." | b".."));
    let seen = full.metadata();
    if is_folder && !seen.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        let what = format!("{subject}: expected a directory, found none");
        return Err(Fault::new(Class::Io, what).help("check that the medium is mounted, or create the directory"));
    }
    let (dir, name) = match (channel, &seen) {
        (Some(name), Ok(found)) if found.is_dir() => (full, name.to_owned()),
        (_, Ok(found)) if !found.is_dir() && !found.is_file() => {
            let what = format!("{subject}: expected DIR/NAME, found a device, pipe or socket");
            return Err(Fault::usage(what, "mount the medium and name a directory on it"));
        }
        _ => {
            let name = full.file_name().and_then(|name| name.to_str()).filter(|_| !full.is_dir()).ok_or_else(|| {
                let what = format!("{subject}: expected DIR/NAME, found a directory");
                Fault::usage(what, "add a slash and the bundle's name, or use --channel")
            })?;
            // In the real process, whose current directory is empty here, a bare name has an empty
            // parent.
            let dir = full.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (dir.to_owned(), name.to_owned())
        }
    };
    crate::outfile::check_folder(&dir, subject)?;
    Ok((dir, Name::new(&name)?))
}
