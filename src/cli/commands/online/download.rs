//! `download`: copies a bundle from a container into a directory.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::upload::{refuse_container, told};
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::cli::containers;
use crate::cli::network::Network;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::operate::transfer::upload::{self, Request};
use crate::outfile;
use crate::storage::local::LocalContainer;

/// `download CONTAINER/NAME DIR`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle in a container: CONTAINER/NAME
    #[arg(value_name = "CONTAINER/NAME")]
    bundle: OsString,
    /// Directory for the bundle's files
    dir: OsString,
    #[command(flatten)]
    network: Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage, also if the directory has another bundle of this name; class format, integrity,
    /// source; class io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = Reach::of(&self.network);
        let (address, name) = Address::parse_bundle(&self.bundle)?;
        refuse_container(&self.dir)?;
        let dir = session.path(Path::new(&self.dir));
        outfile::check_folder(&dir, &self.dir.to_string_lossy())?;
        outfile::unmounted(&dir).into_iter().for_each(|warning| session.flow.warn(warning));
        // A directory is a container too: resuming and the order of the files are the same.
        let container = LocalContainer::open(&dir, "").map_err(|error| error.into_fault(Class::Io))?;
        let source = containers::volumes(&address, &name, session)?;
        let to = dir.join(name.as_str()).display().to_string();
        let request = Request { source, name, container: Arc::new(container), overwrite: false, stage: "downloading" };
        let done = upload::run(&session.flow, &request).map_err(|fault| match fault.class {
            // There is no option for it here.
            Class::Usage if fault.help.as_deref().is_some_and(|help| help.contains("--overwrite")) => {
                fault.help("name another directory, or remove the bundle that is there")
            }
            _ => fault,
        })?;
        Ok(told(&done, "downloaded", &to))
    }
}
