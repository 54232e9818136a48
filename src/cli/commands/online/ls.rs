//! `ls`: the repositories of a registry, the tags of a repository, the entries of an OCI layout.

use serde_json::json;

use crate::base::fault::{Class, Fault, escape};
use crate::cli::Session;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::layout::Layout;

/// `ls PLACE [--digests]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// HOST or HOST/NAMESPACE/*: repositories; HOST/REPO: tags; oci:DIR: entries
    #[arg(value_name = "PLACE")]
    place: String,
    /// The digest that each tag names; of an entry without a name it always stands there
    #[arg(long)]
    digests: bool,
    #[command(flatten)]
    network: crate::cli::args::network::Network,
}

impl Args {
    /// # Errors
    /// Class usage; class source where the place refuses or fails; class format for a broken layout.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        if let Some(dir) = self.place.strip_prefix("oci:") {
            if dir.is_empty() || dir.contains(':') {
                let what = format!("place {}: expected oci:DIR", self.place);
                return Err(Fault::new(Class::Usage, what).help("name the layout's directory alone"));
            }
            let layout = Layout::open(&session.path(dir.as_ref()))?.in_flow(&session.flow);
            crate::cli::args::selectors::warn_of_names(&layout, dir.as_ref(), None, session);
            return Ok(self.entries(&layout));
        }
        #[cfg(feature = "online")]
        return self.registry(session);
        #[cfg(not(feature = "online"))]
        Err(crate::cli::args::network::Network::none())
    }

    fn entries(&self, layout: &Layout) -> Outcome {
        let mut text = String::new();
        let mut list = Vec::new();
        for entry in layout.entries() {
            let descriptor = &entry.descriptor;
            let names: Vec<String> = entry.names.iter().map(ToString::to_string).collect();
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

#[cfg(feature = "online")]
mod online {
    use serde_json::json;

    use super::Args;
    use crate::base::fault::{Class, Fault};
    use crate::cli::args::place::Destination as Typed;
    use crate::cli::output::Outcome;
    use crate::cli::{Session, registries};
    use crate::content::{Error, Inventory as _, TagList as _};
    use crate::flow::each;
    use crate::oci::{Digest, Repository, Tag};

    impl Args {
        pub(super) fn registry(&self, session: &Session<'_>) -> Result<Outcome, Fault> {
            let (place, below) = match self.place.strip_suffix("/*") {
                Some(place) => (place, true),
                None => (self.place.as_str(), false),
            };
            let Typed::Registry { host, prefix } = Typed::parse(place)? else {
                return Err(Fault::new(Class::Usage, "place: expected HOST, HOST/REPO or oci:DIR"));
            };
            let registries = registries::open(&self.network, session)?;
            let at_source = |error: Error| error.into_fault(Class::Source);
            if prefix.is_empty() || below {
                let mut all = registries.repositories(&host).map_err(at_source)?;
                let inside = format!("{prefix}/");
                all.retain(|repository| prefix.is_empty() || repository.path().starts_with(&inside));
                return Ok(self.repositories(&all));
            }
            let repository = Repository::new(&host, &prefix)
                .map_err(|error| Fault::new(Class::Usage, error.to_string()).help("write HOST/REPO"))?;
            let mut tags = registries.tags(&repository).map_err(at_source)?;
            tags.sort();
            if !self.digests {
                return Ok(self.tags(&repository, &tags, None));
            }
            let digests = each(&session.flow, &tags, |tag| registries.tag(&repository, tag))?;
            let digests = digests.into_iter().collect::<Result<Vec<_>, _>>().map_err(at_source)?;
            Ok(self.tags(&repository, &tags, Some(&digests)))
        }

        fn repositories(&self, all: &[Repository]) -> Outcome {
            let mut names: Vec<String> = all.iter().map(ToString::to_string).collect();
            names.sort();
            let text = names.iter().map(|name| format!("{name}\n")).collect::<String>();
            Outcome::new(text, json!({ "place": self.place, "repositories": names }))
        }

        fn tags(&self, repository: &Repository, tags: &[Tag], digests: Option<&[Option<Digest>]>) -> Outcome {
            let mut text = String::new();
            let mut list = Vec::new();
            for (index, tag) in tags.iter().enumerate() {
                let mut one = json!({ "tag": tag });
                text.push_str(&format!("{repository}:{tag}"));
                if let Some(digests) = digests {
                    let digest = digests.get(index).copied().flatten();
                    // A tag may go between the list and the question.
                    text.push_str(&digest.map_or_else(|| "  gone".to_owned(), |digest| format!("@{digest}")));
                    one["digest"] = json!(digest);
                }
                text.push('\n');
                list.push(one);
            }
            Outcome::new(text, json!({ "place": self.place, "repository": repository.to_string(), "tags": list }))
        }
    }
}
