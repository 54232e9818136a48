//! `ls`: lists the repositories of a registry, the tags of a repository, the entries of an OCI
//! layout, the images of an archive, or the bundles in a container.

use serde_json::json;

use crate::base::fault::{Class, Fault, escape, expects};
use crate::cli::Session;
use crate::cli::args::carry::layout_source::warn_of_names;
use crate::cli::args::carry::local_source::{archive_place, open_archive};
use crate::cli::args::container::{Address, is_container};
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::content::made::MadeManifest;
use crate::layout::{Entry, Layout};
use crate::oci::Descriptor;

/// `ls PLACE|CONTAINER [--digests]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Place to list: HOST or HOST/NAMESPACE/* for repositories, HOST/REPO for tags, oci:DIR for
    /// entries, docker-archive:FILE for images, CONTAINER for bundles
    #[arg(value_name = "PLACE|CONTAINER")]
    place: String,
    /// Show the digest that each tag names; entries without a name always show theirs
    #[arg(long)]
    digests: bool,
    #[command(flatten)]
    network: crate::cli::network::Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class source if the place refuses or fails; class format for a broken layout.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        if let Some(dir) = self.place.strip_prefix("oci:") {
            if dir.is_empty() || dir.contains(':') {
                let what = expects(format_args!("place {}", self.place), "oci:DIR");
                return Err(Fault::new(Class::Usage, what).help("name only the layout's directory"));
            }
            let layout = Layout::open(&session.path(dir.as_ref()))?.in_flow(&session.flow);
            warn_of_names(&layout, dir.as_ref(), None, session);
            let row = |entry: &Entry| (entry.names.iter().map(ToString::to_string).collect(), entry.descriptor.clone());
            return Ok(self.entries(layout.entries().iter().map(row)));
        }
        if let Some(file) = archive_place(&self.place) {
            let archive = open_archive(&file?, session)?;
            let row =
                |one: &MadeManifest| (one.names.iter().map(ToString::to_string).collect(), one.document.descriptor());
            return Ok(self.entries(archive.manifests().iter().map(row)));
        }
        if is_container(&self.place) {
            return self.network.bundles(&Address::parse(&self.place)?, session);
        }
        self.network.listing(&self.place, self.digests, session)
    }

    /// Shows entries, each with its names.
    fn entries(&self, all: impl Iterator<Item = (Vec<String>, Descriptor)>) -> Outcome {
        let mut text = String::new();
        let mut list = Vec::new();
        for (names, descriptor) in all {
            let about = format!("{}  {}", escape(&descriptor.media_type), show(descriptor.size));
            if names.is_empty() {
                text.push_str(&format!("@{}  {about}\n", descriptor.digest));
            }
            for name in &names {
                let digest = if self.digests { format!("@{}", descriptor.digest) } else { String::new() };
                text.push_str(&format!("{name}{digest}  {about}\n"));
            }
            list.push(json!({
                "names": names, "digest": descriptor.digest, "mediaType": descriptor.media_type,
                "size": descriptor.size,
            }));
        }
        Outcome::new(text, json!({ "place": self.place, "entries": list }))
    }
}
