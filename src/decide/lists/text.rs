//! Plain text: one selector a line, or the table that a tool prints.

use super::found::List;
use super::names::{self, Problem};
use crate::decide::selector::Selector;

/// Reads a whole text.
pub fn read(text: &str, found: &mut List) {
    let mut table: Option<Columns> = None;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = without_comment(line);
        if line.is_empty() {
            continue;
        }
        if let Some(columns) = Columns::of_header(line) {
            table = Some(columns);
            continue;
        }
        match &table {
            Some(columns) => columns.row(number, line, found),
            None => entry(number, line, found),
        }
    }
}

/// Returns a line without its comment and the blanks around it.
fn without_comment(line: &str) -> &str {
    let is_start = |at: usize| at == 0 || line[..at].ends_with([' ', '\t']);
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| is_start(*at));
    line[..comment.unwrap_or(line.len())].trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Reads one line without its comment.
pub fn entry(number: usize, line: &str, found: &mut List) {
    let mut text = line;
    if let Some(rest) = ["- ", "* "].iter().find_map(|item| text.strip_prefix(item)) {
        text = rest.trim_start();
        found.pass(number, "", "an item of a list in YAML or Markdown: read without its mark");
    }
    if let Some(rest) = text.strip_suffix([',', ';']) {
        text = rest.trim_end();
        found.pass(number, "", "a comma at the end: read without it");
    }
    // A line that `grep image:` found in YAML.
    text = unquoted(text.strip_prefix("image:").map_or(text, str::trim_start));
    if text.is_empty() {
        found.refuse(number, "", "expected a name, found none");
        return;
    }
    // A path may have blanks.
    if ["oci:", "docker-archive:", "bundle:", "file:"].iter().any(|scheme| text.starts_with(scheme))
        && !text.starts_with("oci://")
    {
        selector(number, text, found);
        return;
    }
    let has_keys = text.split_whitespace().next().is_some_and(|first| first.contains(',') && first.contains('='));
    if !has_keys {
        let words: Vec<&str> = text.split_whitespace().map(unquoted).collect();
        match words[..] {
            [_] => {}
            // `name tag`, as some registries list them.
            [name, tag] if is_name_and_tag(name, tag) => {
                parts(number, name, Some(tag), None, found);
                return;
            }
            // Names with their digests, as rancher lists them.
            [name, digest] if is_digest(digest) && !name.contains('@') && names::image(name).is_ok() => {
                parts(number, name, None, Some(digest), found);
                return;
            }
            // `uniq -c` prints how often a name was there.
            [count, name] if count.bytes().all(|byte| byte.is_ascii_digit()) && names::is_pinned(name) => {
                selector(number, name, found);
                return;
            }
            [from, "=" | "=>" | "->", _] => {
                found.pass(number, "", "a destination: where a name goes is decided at the import");
                selector(number, from, found);
                return;
            }
            // What `kubectl -o jsonpath` prints is one long line.
            _ if words.iter().all(|word| names::is_pinned(word) && names::image(word).is_ok()) => {
                words.iter().for_each(|word| selector(number, word, found));
                return;
            }
            _ => {
                found.refuse(number, "", format!("expected one name in a line, found {} words", words.len()));
                return;
            }
        }
        if let Some((from, _)) = text.split_once('=').filter(|(from, to)| from.contains('/') && to.contains('/')) {
            found.pass(number, "", "a destination: where a name goes is decided at the import");
            selector(number, from, found);
            return;
        }
    }
    selector(number, text, found);
}

fn unquoted(text: &str) -> &str {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).or_else(|| quoted('`')).unwrap_or(text).trim()
}

fn is_name_and_tag(name: &str, tag: &str) -> bool {
    !names::is_pinned(name) && crate::oci::Tag::new(tag).is_ok() && names::image(name).is_ok()
}

fn is_digest(text: &str) -> bool {
    text.parse::<crate::oci::Digest>().is_ok()
}

fn parts(number: usize, name: &str, tag: Option<&str>, digest: Option<&str>, found: &mut List) {
    match names::parts(names::without_scheme(name), tag, digest) {
        Ok(source) => found.take(number, Selector::new(source)),
        Err(problem) => found.problem(number, "", &problem),
    }
}

/// Reads one selector.
fn selector(number: usize, text: &str, found: &mut List) {
    if let Err(problem @ (Problem::Empty | Problem::Template(_))) = names::check(text) {
        let problem = if matches!(problem, Problem::Empty) { problem } else { Problem::Template(false) };
        found.problem(number, "", &problem);
        return;
    }
    if text.contains("${") || text.starts_with('$') {
        found.problem(number, "", &Problem::Variable);
        return;
    }
    let (name, keys) = text.split_at(text.find(',').unwrap_or(text.len()));
    let name = if let Some(chart) = name.strip_prefix("oci://") {
        names::chart_tag(chart)
    } else {
        let plain = names::without_scheme(name);
        // What a login in an address says is not repeated.
        if name.starts_with("http") && plain != name && !plain.contains(['@', '?']) {
            found.pass(number, "", "a URL: read without its scheme");
            plain.trim_end_matches('/').to_owned()
        } else if name.starts_with("docker://") {
            plain.to_owned()
        } else {
            name.to_owned()
        }
    };
    let read = names::check_digest(&name).and_then(|()| Selector::parse(&format!("{name}{keys}")));
    match read {
        Ok(selector) => found.take(number, selector),
        Err(fault) => found.fault(number, "", &fault),
    }
}

/// Columns of a table, by number.
struct Columns {
    name: usize,
    tag: Option<usize>,
    digest: Option<usize>,
}

impl Columns {
    /// Returns the columns if `line` is the header of a table of images.
    fn of_header(line: &str) -> Option<Self> {
        let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
        let column = |names: &[&str]| words.iter().position(|word| names.contains(&word.as_str()));
        let name = column(&["repository", "image", "name", "ref", "images"])?;
        let (tag, digest) = (column(&["tag", "tags", "version"]), column(&["digest"]));
        let is_upper = line.split_whitespace().all(|word| word.starts_with(|c: char| c.is_uppercase()));
        let is_header = words.len() > 1 && (is_upper || tag == Some(1));
        (name == 0 && is_header).then_some(Self { name, tag, digest })
    }

    /// Reads one row.
    fn row(&self, number: usize, line: &str, found: &mut List) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let cell = |column: Option<usize>| {
            column.and_then(|column| words.get(column)).copied().filter(|cell| !cell.starts_with('<'))
        };
        let Some(name) = cell(Some(self.name)) else {
            found.pass(number, "", "an image without a name");
            return;
        };
        if name.starts_with("sha256:") {
            found.pass(number, "", "an image's id, not a name");
            return;
        }
        let tag = cell(self.tag).filter(|_| !names::is_pinned(name));
        // The digest names the image where the tag does not.
        let digest = cell(self.digest).filter(|digest| digest.contains(':') && !names::is_pinned(name));
        if self.tag.is_some() && tag.is_none() && digest.is_none() && !names::is_pinned(name) {
            found.pass(number, "", "an image without a tag");
            return;
        }
        match names::parts(names::without_scheme(name), tag, digest.filter(|_| tag.is_none())) {
            Ok(source) => found.take(number, Selector::new(source)),
            Err(problem) => found.problem(number, "", &problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<String>, Vec<usize>, usize) {
        let mut found = List::default();
        read(text, &mut found);
        let names = found.entries.iter().map(|entry| entry.selector.to_string()).collect();
        (names, found.refused.iter().map(|one| one.line).collect(), found.passed_over.len())
    }

    #[test]
    fn tables_that_tools_print() {
        let docker = "REPOSITORY   TAG     IMAGE ID       CREATED       SIZE\nnginx        1.27    abcdef  2 weeks ago   187MB\n<none>  <none>  abcdef  2 weeks ago  1MB\n";
        assert_eq!(read_all(docker), (vec!["docker.io/library/nginx:1.27".to_owned()], vec![], 1));
        let crictl =
            "IMAGE                     TAG    IMAGE ID   SIZE\nregistry.k8s.io/pause     3.9    e6f18      321kB\n";
        assert_eq!(read_all(crictl).0, ["registry.k8s.io/pause:3.9"]);
        let ctr = "REF TYPE DIGEST SIZE\nghcr.io/a/b:1 application/x sha256:00 1\nsha256:00 x sha256:00 1\n";
        assert_eq!(read_all(ctr), (vec!["ghcr.io/a/b:1".to_owned()], vec![], 1));
        assert_eq!(
            read_all("- image: nginx:1\n      image: \"redis:7\"\n").0,
            ["docker.io/library/nginx:1", "docker.io/library/redis:7"]
        );
        assert_eq!(read_all("name tag\nteam/app 1.4\n").0, ["docker.io/team/app:1.4"]);
        assert_eq!(read_all("   3 nginx:1.27\n").0, ["docker.io/library/nginx:1.27"]);
        assert_eq!(read_all("nginx:1 quay.io/a/b:2\n").0, ["docker.io/library/nginx:1", "quay.io/a/b:2"]);
        let digest = format!("sha256:{}", "1".repeat(64));
        assert_eq!(read_all(&format!("rancher/a:v1 {digest}\n")).0, [format!("docker.io/rancher/a:v1@{digest}")]);
        assert_eq!(read_all("quay.io/a/b 1.4\nquay.io/a/c\t2").0, ["quay.io/a/b:1.4", "quay.io/a/c:2"]);
    }

    #[test]
    fn lines_that_are_no_names_are_refused_with_their_number() {
        let (names, refused, _) =
            read_all("quay.io/a/b:1\nthree words here\nquay.io/a b:1\n-\n${X}/a:1\nme:pw@h.example/a\n");
        assert_eq!((names.len(), refused), (1, vec![2, 3, 4, 5, 6]));
    }

    #[test]
    fn selectors_with_keys_and_destinations() {
        let text = "quay.io/a/b,semver=>= 3.12 < 4,latest=2\nh.example/n/*:v1.*  # all\nquay.io/a:1=local.example/a:1\nquay.io/x:1 => y\n";
        let (names, refused, passed) = read_all(text);
        assert!(refused.is_empty());
        assert_eq!(passed, 2);
        assert_eq!(names[0], "quay.io/a/b,semver=>= 3.12 < 4,latest=2");
        assert_eq!(names[1..], ["h.example/n/*:v1.*", "quay.io/a:1", "quay.io/x:1"]);
    }
}
