//! Names in an archive: only keys of its index, never paths of a file system.

use super::refusal::{Refusal, shown};

/// Returns a name without empty parts and `.`.
///
/// # Errors
/// [`Refusal`] for an absolute name, one with `..`, and one without a part.
pub(super) fn clean(name: &str) -> Result<String, Refusal> {
    if name.starts_with('/') {
        return Err(outside(name));
    }
    below(&[], name)
}

/// Returns the name that a symbolic link stands for: `target` as seen from the folder of `link`, a
/// clean name. `..` may lead up to the archive's top.
///
/// # Errors
/// [`Refusal`] for a target outside of the archive.
pub(super) fn linked(link: &str, target: &str) -> Result<String, Refusal> {
    if target.starts_with('/') {
        return Err(outside(target));
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    let mut rest = target;
    loop {
        let (part, more) = rest.split_once('/').unwrap_or((rest, ""));
        match part {
            ".." if parts.pop().is_none() => return Err(outside(target)),
            ".." | "." | "" => {}
            // Beyond its first names, a target goes only down.
            _ => return below(&parts, rest),
        }
        if more.is_empty() {
            return Err(outside(target));
        }
        rest = more;
    }
}

fn below(above: &[&str], name: &str) -> Result<String, Refusal> {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = above.iter().copied().chain(parts).collect();
    if parts.contains(&"..") || parts.is_empty() {
        return Err(outside(name));
    }
    Ok(parts.join("/"))
}

fn outside(name: &str) -> Refusal {
    Refusal::new(format!("member {}: expected a name inside the archive", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_but_into_the_archive() {
        for (name, expected) in [("a/layer.tar", "a/layer.tar"), ("./a//b/./c", "a/b/c"), ("..a/b..", "..a/b..")] {
            assert_eq!(clean(name).unwrap(), expected);
        }
        for wrong in ["", ".", "./", "/", "/etc/passwd", "..", "a/../b", "../x", "a/.."] {
            assert!(clean(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn links_stay_inside() {
        for (link, target, expected) in [
            ("b/layer.tar", "../a/layer.tar", "a/layer.tar"),
            ("b/layer.tar", "layer2.tar", "b/layer2.tar"),
            ("layer.tar", "./x.tar", "x.tar"),
            ("a/b/c", "../../d", "d"),
        ] {
            assert_eq!(linked(link, target).unwrap(), expected);
        }
        for (link, target) in [
            ("b/layer.tar", "../../etc/passwd"),
            ("layer.tar", "../x"),
            ("a/b", "/etc/passwd"),
            ("a/b", ""),
            ("a/b", ".."),
            ("a/b", "../c/../../d"),
        ] {
            assert!(linked(link, target).is_err(), "{link} {target}");
        }
    }
}
