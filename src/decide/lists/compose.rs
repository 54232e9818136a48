//! Compose files: the images of services. Variables get their defaults; without one they are
//! refused, since a list is read without an environment.

use super::found::List;
use super::names;
use crate::yaml::Node;

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    for (name, service) in document.get("services").map(Node::entries).unwrap_or_default() {
        let place = format!("services.{name}");
        let platform = service.text_of("platform").map(interpolate);
        let keys: Vec<(&str, &str)> = match &platform {
            Some(Some(platform)) if !platform.is_empty() => vec![("platform", platform)],
            Some(None) => {
                found.refuse(service.line, format!("{place}.platform"), UNSET);
                continue;
            }
            _ => Vec::new(),
        };
        if let Some(image) = service.get("image") {
            text(image, &format!("{place}.image"), &keys, found);
        } else if service.get("extends").is_some_and(|extends| extends.get("file").is_some()) {
            found.pass(
                service.line,
                place.clone(),
                "extends a service of another file: list the output of `docker compose config`",
            );
        } else if service.get("build").is_some() && service.get("extends").is_none() {
            found.pass(
                service.line,
                place.clone(),
                "built where it runs and has no name: give it an image, and push it",
            );
        }
        for volume in service.get("volumes").map(Node::items).unwrap_or_default() {
            if let Some(image) = volume.get("source").filter(|_| volume.text_of("type") == Some("image")) {
                text(image, &format!("{place}.volumes"), &keys, found);
            }
        }
    }
    for (name, model) in document.get("models").map(Node::entries).unwrap_or_default() {
        if let Some(artifact) = model.get("model") {
            text(artifact, &format!("models.{name}.model"), &[], found);
        }
    }
    if let Some(value) = document.get("include") {
        found.pass(value.line, "include", "not followed: list the output of `docker compose config`");
    }
}

const UNSET: &str = "a variable that is not set here and has no default: list the output of `docker compose config`";

fn text(image: &Node, place: &str, keys: &[(&str, &str)], found: &mut List) {
    let Some(text) = image.text() else {
        found.pass(image.line, place, "empty: names no image");
        return;
    };
    match interpolate(text) {
        Some(text) if text.contains("{{") => found.problem(image.line, place, &names::Problem::Template(false)),
        Some(text) => found.image(image.line, place, &text, keys),
        None => found.refuse(image.line, place, UNSET),
    }
}

/// Fills in the defaults of variables. Returns `None` if one has no default.
fn interpolate(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inner = after.strip_prefix('{')?;
        let end = closing(inner)?;
        let (variable, after) = (&inner[..end], &inner[end + 1..]);
        let name = variable.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let operator = &variable[name..];
        let default = operator.strip_prefix(":-").or_else(|| operator.strip_prefix('-'));
        // `${X:+text}` is empty without X.
        if let Some(default) = default {
            out.push_str(&interpolate(default)?);
        } else if !operator.starts_with(":+") && !operator.starts_with('+') {
            return None;
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// Returns where the brace is that closes a variable.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_get_their_defaults() {
        let filled = |text: &str| interpolate(text);
        assert_eq!(filled("a/b:${TAG:-1.4}").unwrap(), "a/b:1.4");
        assert_eq!(filled("${R-q.io}/b:${A:-${B:-2}}${C:+x}").unwrap(), "q.io/b:2");
        assert_eq!(filled("a$$b").unwrap(), "a$b");
        for text in ["${A}", "$A/b", "${A:?missing}", "${A", "a:${B:-${C}}"] {
            assert_eq!(filled(text), None, "{text}");
        }
    }
}
