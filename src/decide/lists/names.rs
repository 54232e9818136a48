//! Names of images and charts as lists write them.

use std::collections::HashSet;

use crate::base::fault::Fault;
use crate::decide::selector::Source;
use crate::decide::selector::version::{Range, of_tag};
use crate::oci::{Reference, Repository, Tag};

/// Reason why a text names no image.
#[derive(Debug)]
pub enum Problem {
    /// It is empty.
    Empty,
    /// It has a placeholder of a template, perhaps of a chart's.
    Template(bool),
    /// It has a variable.
    Variable,
    /// It is no reference.
    Wrong(Fault),
}

/// Parses the name of an image, as in a manifest: without globs, keys or other sources.
///
/// # Errors
/// [`Problem`].
pub fn image(text: &str) -> Result<Source, Problem> {
    let text = text.trim();
    check(text)?;
    let chart = text.strip_prefix("oci://");
    let text = without_scheme(text);
    let plain = chart.map_or_else(|| text.to_owned(), chart_tag);
    check_digest(&plain).map_err(Problem::Wrong)?;
    match Source::parse(&plain).map_err(Problem::Wrong)? {
        registry @ Source::Registry(_) => Ok(registry),
        other => Err(Problem::Wrong(Fault::usage(
            format!("source {other}: expected the name of an image"),
            "write HOST/REPO:TAG",
        ))),
    }
}

/// Checks that a text is not empty and has neither placeholders nor variables.
///
/// # Errors
/// [`Problem`].
pub fn check(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    if text.contains("{{") {
        let is_chart =
            [".Values", ".Chart", ".Release", "include ", "template ", "tpl "].iter().any(|word| text.contains(word));
        return Err(Problem::Template(is_chart));
    }
    if text.contains('$') || text.contains("###ZARF_") {
        return Err(Problem::Variable);
    }
    Ok(())
}

/// Returns a name without the scheme that container tools put before it.
pub fn without_scheme(text: &str) -> &str {
    let schemes = ["docker://", "oci://", "https://", "http://"];
    schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text)
}

/// Refuses a digest without its algorithm by name.
///
/// # Errors
/// Class usage.
pub fn check_digest(text: &str) -> Result<(), Fault> {
    let Some((_, digest)) = text.rsplit_once('@') else { return Ok(()) };
    if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let what = format!("reference {text}: expected an algorithm before the digest, found none");
        return Err(Fault::usage(what, "write @sha256: before the digits"));
    }
    Ok(())
}

/// Returns the name of a chart with the `+` of its version as helm writes it in a tag: `_`.
pub fn chart_tag(text: &str) -> String {
    let slash = text.rfind('/').map_or(0, |slash| slash + 1);
    let (front, last) = text.split_at(slash);
    match last.split_once(':') {
        Some((name, version)) => format!("{front}{name}:{}", version.replace('+', "_")),
        None => text.to_owned(),
    }
}

/// Returns the source of a chart in a registry: the address of its repository, its name, and its
/// version. Without a version it is all tags; the caller adds `latest=1`.
///
/// # Errors
/// Class usage.
pub fn chart(url: &str, name: &str, version: Option<&str>) -> Result<Source, Fault> {
    let base = url.strip_prefix("oci://").unwrap_or(url).trim_end_matches('/');
    let path = if name.is_empty() { base.to_owned() } else { format!("{base}/{name}") };
    let whole = version.map_or_else(|| path.clone(), |version| format!("{path}:{}", version.replace('+', "_")));
    match image(&whole) {
        Ok(Source::Registry(reference)) if version.is_none() => {
            Ok(Source::Tags { repository: reference.repository, glob: None })
        }
        Ok(source) => Ok(source),
        Err(Problem::Wrong(fault)) => Err(fault),
        Err(_) => Err(Fault::usage("chart: expected a name without variables", "fill in the variables first")),
    }
}

/// Returns whether the version of a chart is one tag, not a range: `1.2.3` and `main`, but not `1.2`,
/// which stands for every `1.2.x`.
pub fn is_one_version(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let is_whole = of_tag(text).is_some() && numbers.matches('.').count() == 2;
    Tag::new(&text.replace('+', "_")).is_ok() && (is_whole || Range::parse(text).is_none())
}

/// Returns the key that selects the newest version if none is given.
pub const fn latest(version: Option<&str>) -> &'static [(&'static str, &'static str)] {
    if version.is_none() { &[("latest", "1")] } else { &[] }
}

/// Returns the source of an image given in parts: repository, tag, digest.
///
/// # Errors
/// As [`image`].
pub fn parts(repository: &str, tag: Option<&str>, digest: Option<&str>) -> Result<Source, Problem> {
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = digest.map(|digest| format!("@{}", digest.trim_start_matches('@'))).unwrap_or_default();
    image(&format!("{repository}{tag}{digest}"))
}

/// Returns whether the name of a file has one of these endings.
pub fn has_ending(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Returns whether the last part of a name has a tag or a digest.
pub fn is_pinned(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// Returns a name with `registry` in front, if it states no registry itself.
pub fn with_registry(text: &str, registry: Option<&str>) -> String {
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost" || first.starts_with('[');
    let has_host = text.split_once('/').is_some_and(|(first, _)| is_host(first));
    match registry.filter(|_| !has_host && !text.contains("://")) {
        Some(registry) => format!("{}/{text}", registry.trim_end_matches('/')),
        None => text.to_owned(),
    }
}

/// Returns the words of a text that look like references with a host and a tag or digest.
pub fn looking_like(text: &str) -> Vec<String> {
    let is_end = |c: char| c.is_whitespace() || "\"'`=,;()[]{}<>|".contains(c);
    let (mut found, mut known): (Vec<String>, HashSet<&str>) = (Vec::new(), HashSet::new());
    for word in text.split(is_end) {
        let word = word.strip_prefix("docker://").unwrap_or(word).trim_end_matches(['.', ':']);
        if word.len() > 300 || word.contains("//") || !is_pinned(word) {
            continue;
        }
        let Some((host, _)) = word.split_once('/') else { continue };
        let is_name = host.split(':').next().is_some_and(|host| host.contains('.') && !host.starts_with('.'));
        if is_name && known.insert(word) && word.parse::<Reference>().is_ok() {
            found.push(word.to_owned());
        }
    }
    found
}

/// Returns a reference of a tag or digest of a repository on a host, without short names.
///
/// # Errors
/// Class usage.
pub fn exact(host: &str, path: &str, name: &str) -> Result<Source, Fault> {
    let wrong = |error: &dyn std::fmt::Display| {
        Fault::usage(error.to_string(), "write HOST, REPO and TAG as the registry has them")
    };
    let repository = Repository::new(host, path).map_err(|error| wrong(&error))?;
    let reference = if name.contains(':') {
        let digest = name.parse().map_err(|error: crate::oci::digest::DigestError| wrong(&error))?;
        Reference { repository, tag: None, digest: Some(digest) }
    } else {
        let tag = Tag::new(name).map_err(|error| wrong(&error))?;
        Reference { repository, tag: Some(tag), digest: None }
    };
    Ok(Source::Registry(reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_lists_write_them() {
        let shown = |text: &str| image(text).ok().map(|source| source.to_string());
        assert_eq!(shown(" docker://nginx ").unwrap(), "docker.io/library/nginx:latest");
        assert_eq!(shown("oci://h.example/c/app:1+a").unwrap(), "h.example/c/app:1_a");
        for wrong in ["", "{{ .x }}", "${A}", "a:*", "h.example/a@1111", "oci:x", "bundle:x", "A/b"] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
        assert_eq!(with_registry("a/b", Some("r.example")), "r.example/a/b");
        assert_eq!(with_registry("q.io/a", Some("r.example")), "q.io/a");
        let text = "--image=ghcr.io/a/b:1.4 https://x.example/a:1, logo.png a/b:1 img: docker.io/istio/proxyv2:1.23.0";
        assert_eq!(looking_like(text), ["ghcr.io/a/b:1.4", "docker.io/istio/proxyv2:1.23.0"]);
        for (version, is_one) in
            [("1.2.3", true), ("v1.2.3-rc.1+b", true), ("main", true), ("1.2", false), ("1", false), ("^1.2.3", false)]
        {
            assert_eq!(is_one_version(version), is_one, "{version}");
        }
        assert_eq!(chart("oci://h.example/c/", "app", Some("1+u")).unwrap().to_string(), "h.example/c/app:1_u");
    }
}
