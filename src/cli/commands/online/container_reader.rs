//! `container-reader`: reads a bundle's files from a container for a confined process of this
//! program, which asks over standard input. Not for people.

use serde_json::Value;

use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::cli::containers;
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::content::{Error, Kind};
use crate::storage::piped::serve;

/// `container-reader CONTAINER NAME`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The container
    container: String,
    /// Name of the bundle
    name: String,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class io for the pipes. All others are sent to the other process.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = self.reach;
        let opened = Address::parse(&self.container).and_then(|address| {
            let name = Name::new(&self.name)?;
            containers::volumes(&address, &name, session)
        });
        let opened = match &opened {
            Ok(volumes) => Ok(&**volumes),
            Err(fault) => Err(of_fault(fault)),
        };
        let pipes = |error| Fault::new(Class::Io, format!("pipe to the other process: {error}"));
        let questions = session.world.take_stdin().map_err(pipes)?;
        let flow = session.flow.clone();
        match serve(opened, questions, &mut session.world.stdout, &flow) {
            // The other process has what it wanted, or has failed, and says so itself.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(pipes(error)),
            _ => Ok(Outcome::new("", Value::Null)),
        }
    }
}

fn of_fault(fault: &Fault) -> Error {
    fault.clone().classed(|class| match class {
        Class::Io => Kind::Io,
        Class::Policy => Kind::Policy,
        Class::Cancelled => Kind::Cancelled,
        class => Kind::Content(class),
    })
}
