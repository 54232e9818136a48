//! Lists of the repositories of a registry and of the tags of a repository, for `ls`.

use serde_json::json;

use super::{Network, registries};
use crate::base::fault::{Class, Fault, expects};
use crate::cli::Session;
use crate::cli::args::place::Destination as Typed;
use crate::cli::output::Outcome;
use crate::content::catalog::below as below_prefix;
use crate::content::{Error, Inventory as _, TagList as _};
use crate::flow::each;
use crate::oci::{Digest, Repository, Tag};

impl Network {
    /// Lists the repositories of a registry or below a namespace (`HOST/NAMESPACE/*`), or the tags
    /// of a repository. `with_digests` adds the digest of each tag.
    ///
    /// # Errors
    /// Class usage, source.
    pub fn listing(&self, typed: &str, with_digests: bool, session: &Session<'_>) -> Result<Outcome, Fault> {
        let (place, below) = match typed.strip_suffix("/*") {
            Some(place) => (place, true),
            None => (typed, false),
        };
        let Typed::Registry { host, prefix } = Typed::parse(place)? else {
            return Err(Fault::new(Class::Usage, expects("place", "HOST, HOST/REPO or oci:DIR")));
        };
        let registries = registries::open(self, session)?;
        let at_source = |error: Error| error.into_fault(Class::Source);
        if prefix.is_empty() || below {
            let mut all = below_prefix(&registries, Some(&host), &prefix).map_err(at_source)?;
            // `HOST/NAMESPACE/*` does not name the namespace itself.
            all.retain(|repository| repository.path() != prefix);
            return Ok(repositories(typed, &all));
        }
        let repository = Repository::new(&host, &prefix)
            .map_err(|error| Fault::new(Class::Usage, error.to_string()).help("write HOST/REPO"))?;
        let mut tags = registries.tags(&repository).map_err(at_source)?;
        tags.sort();
        if !with_digests {
            return Ok(tags_of(typed, &repository, &tags, None));
        }
        let digests = each(&session.flow, &tags, |tag| registries.tag(&repository, tag))?;
        let digests = digests.into_iter().collect::<Result<Vec<_>, _>>().map_err(at_source)?;
        Ok(tags_of(typed, &repository, &tags, Some(&digests)))
    }
}

fn repositories(typed: &str, all: &[Repository]) -> Outcome {
    let mut names: Vec<String> = all.iter().map(ToString::to_string).collect();
    names.sort();
    let text = names.iter().map(|name| format!("{name}\n")).collect::<String>();
    Outcome::new(text, json!({ "place": typed, "repositories": names }))
}

fn tags_of(typed: &str, repository: &Repository, tags: &[Tag], digests: Option<&[Option<Digest>]>) -> Outcome {
    let mut text = String::new();
    let mut list = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        let mut one = json!({ "tag": tag });
        text.push_str(&format!("{repository}:{tag}"));
        if let Some(digests) = digests {
            let digest = digests.get(index).copied().flatten();
            // A tag may be removed between the listing and this request.
            text.push_str(&digest.map_or_else(|| "  gone".to_owned(), |digest| format!("@{digest}")));
            one["digest"] = json!(digest);
        }
        text.push('\n');
        list.push(one);
    }
    Outcome::new(text, json!({ "place": typed, "repository": repository.to_string(), "tags": list }))
}
