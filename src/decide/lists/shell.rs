//! Shell scripts that hold a list: a here-document, or commands that pull images.

use super::found::List;
use super::text;

/// Returns whether a text is a shell script.
pub fn is_script(text: &str) -> bool {
    let is_shebang = text.lines().next().is_some_and(|line| line.starts_with("#!"));
    is_shebang || text.lines().any(|line| end_of_document(line).is_some())
}

/// Returns the word that ends the here-document that a line begins.
fn end_of_document(line: &str) -> Option<&str> {
    let code = line.trim_start();
    if code.starts_with('#') {
        return None;
    }
    let (_, rest) = code.split_once("<<")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start();
    let rest = rest.trim_start_matches(['\'', '"', '\\']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|word| !word.is_empty())
}

/// Reads a script. Nothing of one with variables in its names is taken.
pub fn read(script: &str, found: &mut List) {
    let mut until: Option<&str> = None;
    let mut names: Vec<(usize, &str)> = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let trimmed = line.trim();
        match until {
            Some(word) if trimmed == word => until = None,
            Some(_) => names.push((number + 1, trimmed)),
            None => {
                until = end_of_document(line);
                if until.is_none() {
                    names.extend(pulled(trimmed).map(|name| (number + 1, name)));
                }
            }
        }
    }
    names.retain(|(_, name)| !name.is_empty() && !name.starts_with('#'));
    if names.iter().any(|(_, name)| name.contains('$') || name.contains('`')) {
        found
            .refuse_all("a shell script with variables that are not set here, not a list: run it, and list its output");
        return;
    }
    if names.is_empty() {
        found.refuse_all(
            "a shell script without a here-document or commands that pull, not a list: run it, and list its output",
        );
        return;
    }
    found.pass(0, "", "a shell script: only its here-documents and the images that it pulls are read");
    for (number, name) in names {
        text::entry(number, name, found);
    }
}

/// Returns the image that a command pulls.
fn pulled(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_tool = |word: &str| matches!(word, "docker" | "podman" | "nerdctl" | "crictl" | "ctr" | "buildah" | "crane");
    words.iter().position(|word| is_tool(word))?;
    let pull = words.iter().position(|word| *word == "pull")?;
    words[pull + 1..].iter().find(|word| !word.starts_with('-')).map(|word| word.trim_end_matches([';', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(script: &str) -> (Vec<String>, usize) {
        let mut found = List::default();
        assert!(is_script(script), "{script}");
        read(script, &mut found);
        (found.entries.iter().map(|one| one.selector.to_string()).collect(), found.refused.len())
    }

    #[test]
    fn scripts_with_names_are_read_and_those_with_variables_refused() {
        let document = "cat <<-'EOF' > list\n  # core\n  rancher/pause:3.6\n\nEOF\necho done\n";
        assert_eq!(read_all(document), (vec!["docker.io/rancher/pause:3.6".to_owned()], 0));
        let pulls = "#!/bin/sh\nset -e\ndocker pull --quiet quay.io/a/b:1\n";
        assert_eq!(read_all(pulls).0, ["quay.io/a/b:1"]);
        assert_eq!(read_all("cat <<EOF\n${R}/a:1\nrancher/pause:3.6\nEOF\n"), (vec![], 1));
        assert_eq!(read_all("#!/bin/bash\necho hi\n"), (vec![], 1));
    }
}
