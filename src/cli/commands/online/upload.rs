//! `upload`: copies a bundle from a directory, or from another container, into a container.

use std::ffi::OsString;
use std::sync::Arc;

use serde_json::json;

use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::bundle::volumes::local::Directories;
use crate::cli::Session;
use crate::cli::args::bundle::find;
use crate::cli::args::container::{Address, is_container};
use crate::cli::containers;
use crate::cli::network::Network;
use crate::cli::network::containers::open;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::cli::reach::Reach;
use crate::content::volumes::Volumes;
use crate::operate::transfer::upload::{self, Copied, Request};

/// `upload BUNDLE CONTAINER [--overwrite]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, a directory with one bundle, or CONTAINER/NAME
    bundle: OsString,
    #[allow(rustdoc::bare_urls, reason = "the help shows what is typed")]
    /// Container for the bundle: storage:N[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX],
    /// https://ACCOUNT.blob.SUFFIX/CONTAINER[/PREFIX], s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX] or
    /// file:///DIR
    container: OsString,
    /// Replace another bundle of this name
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    network: Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; those of reading the bundle; class destination.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = Reach::of(&self.network);
        let address = Address::parse(&self.container)?;
        let (source, name) = source(&self.bundle, session)?;
        let container = open(&self.network, &address, session)?;
        let request = Request { source, name, container, overwrite: self.overwrite, stage: "uploading" };
        let done = upload::run(&session.flow, &request)?;
        Ok(told(&done, "uploaded", &format!("{address}/{}", request.name)))
    }
}

/// Returns the place of a bundle's files, in a directory or a container, and the bundle's name.
fn source(text: &OsString, session: &Session<'_>) -> Result<(Arc<dyn Volumes>, Name), Fault> {
    if is_container(text) {
        let (address, name) = Address::parse_bundle(text)?;
        return Ok((containers::volumes(&address, &name, session)?, name));
    }
    let (dir, name) = crate::bundle::locate(&find(text, session)?)?;
    Ok((Arc::new(Directories::new(vec![dir])), name))
}

/// Returns the outcome of a copy; `word` is what was done, `to` where the bundle is now.
pub(super) fn told(done: &Copied, word: &str, to: &str) -> Outcome {
    let how = if done.was_there {
        "there already".to_owned()
    } else if done.sent == done.bytes {
        format!("{} copied", show(done.sent))
    } else {
        format!("{} copied, {} there already", show(done.sent), show(done.bytes - done.sent))
    };
    let text = format!(
        "{word:10} {to}: {} volumes, {} ({how})\nbundle id  {}\nsignatures not checked here: verify it with --key\n",
        done.volumes,
        show(done.bytes),
        done.id
    );
    let result = json!({
        "id": done.id, "to": to, "volumes": done.volumes, "bytes": done.bytes, "sent": done.sent,
        "was_there": done.was_there, "authenticated": false,
    });
    Outcome::new(text, result)
}

/// Refuses a container where a directory is expected.
pub(super) fn refuse_container(text: &OsString) -> Result<(), Fault> {
    if !is_container(text) {
        return Ok(());
    }
    let address = Address::parse(text)?;
    let what = format!("{address}: expected a directory, found a container");
    Err(Fault::new(Class::Usage, what).help("use `packmule upload` to copy a bundle into a container"))
}
