//! The wanted list: content that is missing on a disconnected side, in the source's names, sent
//! back to the exporter.
//!
//! Each line is `REPO[:TAG][@DIGEST]`, followed by the digests of the base leaves that are missing
//! there, separated by single spaces. Lines are sorted by bytes, unique, and limited in number. The
//! list contains no clients, no times, and no hosts except those of the artifacts. Text only; no
//! I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::base::fault::{Class, Description, Fault, differs, escape, expects};
use crate::oci::{Digest, Reference};

/// Maximum size of a list, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Maximum number of lines.
pub const MAX_LINES: usize = 100_000;

/// A wanted list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    lines: BTreeMap<String, (Reference, BTreeSet<Digest>)>,
}

impl List {
    /// Adds an artifact, or adds leaves to an artifact that is already listed.
    pub fn add(&mut self, reference: Reference, leaves: impl IntoIterator<Item = Digest>) {
        let line = self.lines.entry(reference.to_string()).or_insert_with(|| (reference, BTreeSet::new()));
        line.1.extend(leaves);
    }

    /// Returns whether an artifact is listed under this name.
    pub fn contains(&self, reference: &Reference) -> bool {
        self.lines.contains_key(&reference.to_string())
    }

    /// Returns the number of artifacts.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Removes all artifacts but those that `keep` accepts. Returns whether one was removed.
    pub fn retain(&mut self, keep: impl Fn(&Reference) -> bool) -> bool {
        let before = self.lines.len();
        self.lines.retain(|_, (reference, _)| keep(reference));
        self.lines.len() < before
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the artifacts, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.lines.values().map(|(reference, _)| reference)
    }

    /// Returns all missing leaves.
    pub fn leaves(&self) -> BTreeSet<Digest> {
        self.lines.values().flat_map(|(_, leaves)| leaves.iter().copied()).collect()
    }

    /// Returns the text of the list, and the number of lines that were dropped because of the
    /// limits.
    pub fn to_text(&self) -> (String, usize) {
        let mut text = String::new();
        for (number, (name, (_, leaves))) in self.lines.iter().enumerate() {
            let before = text.len();
            text.push_str(name);
            for leaf in leaves {
                // Writing to a string does not fail.
                let _ = write!(text, " {leaf}");
            }
            text.push('\n');
            if text.len() > MAX_BYTES || number == MAX_LINES {
                text.truncate(before);
                return (text, self.lines.len() - number);
            }
        }
        (text, 0)
    }

    /// Returns whether `bytes` are exactly a list that an import wrote: every artifact has a digest
    /// and at least one missing leaf. A list that a person wrote or edited does not qualify.
    pub fn is_written(bytes: &[u8]) -> bool {
        let is_whole =
            |(reference, leaves): &(Reference, BTreeSet<Digest>)| reference.digest.is_some() && !leaves.is_empty();
        Self::parse(bytes).is_ok_and(|list| list.lines.values().all(is_whole) && list.to_text().0.as_bytes() == bytes)
    }

    /// Returns the list in `bytes` if they are exactly what [`List::to_text`] makes of it, so that
    /// nothing is lost when it is written again.
    pub fn exactly(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes).ok().filter(|list| list.to_text().0.as_bytes() == bytes)
    }

    /// Parses a list. Skips empty lines and lines that start with `#`, which a person may have
    /// added.
    ///
    /// # Errors
    /// [`Class::Usage`] if the list exceeds a limit, is not UTF-8, or has an invalid line; the
    /// message gives the line number.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let wrong =
            |what: Description| Fault::new(Class::Usage, what).help("use a list written by `import --wanted-out`");
        if bytes.len() > MAX_BYTES {
            return Err(wrong(differs("wanted list", format_args!("at most {MAX_BYTES} bytes"), bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong(expects("wanted list", "UTF-8")))?;
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
            if number > MAX_LINES {
                return Err(wrong(differs("wanted list", format_args!("at most {MAX_LINES} lines"), "more")));
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |problem: &dyn std::fmt::Display| {
                wrong(format!("wanted list, line {number}: {}", escape(&problem.to_string())).into())
            };
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let reference: Reference = name.parse().map_err(|error| at(&error))?;
            let leaves = words.map(str::parse).collect::<Result<Vec<Digest>, _>>().map_err(|error| at(&error))?;
            list.add(reference, leaves);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    #[test]
    fn c13_the_list_is_sorted_and_reads_as_it_was_written() {
        let pinned = format!("reg.example/b:1@{}", leaf("m"));
        let mut list = List::default();
        list.add("reg.example/c:2".parse().unwrap(), []);
        list.add(pinned.parse().unwrap(), [leaf("y"), leaf("x")]);
        list.add(pinned.parse().unwrap(), [leaf("x"), leaf("z")]);
        let (text, dropped) = list.to_text();
        let mut leaves = [leaf("x"), leaf("y"), leaf("z")];
        leaves.sort();
        let [one, two, three] = leaves;
        assert_eq!((text.as_str(), dropped), (&*format!("{pinned} {one} {two} {three}\nreg.example/c:2\n"), 0));
        assert_eq!(List::parse(text.as_bytes()).unwrap(), list);
        assert_eq!(list.leaves().len(), 3);
        assert!(!List::is_written(text.as_bytes()), "an artifact without digest and leaves");
        let written = format!("{pinned} {one} {two} {three}\n");
        assert!(List::is_written(written.as_bytes()) && List::is_written(b""));
        for other in
            [format!("# mine\n{written}"), written.replace('\n', "\r\n"), format!("{pinned}\n"), "\n".to_owned()]
        {
            assert!(!List::is_written(other.as_bytes()), "{other}");
        }
        let edited = format!("# from site 7\r\n\r\nalpine\r\n{pinned}\r\n");
        let edited = List::parse(edited.as_bytes()).unwrap();
        let names: Vec<String> = edited.references().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/alpine:latest".to_owned(), pinned]);
    }

    #[test]
    fn c13_a_list_is_capped_and_nonsense_is_refused_by_line() {
        let mut long = List::default();
        for number in 0..=MAX_LINES {
            long.add(format!("reg.example/a:{number}").parse().unwrap(), []);
        }
        let (text, dropped) = long.to_text();
        assert_eq!((text.lines().count(), dropped), (MAX_LINES, 1));
        assert_eq!(List::parse(text.as_bytes()).unwrap().references().count(), MAX_LINES);
        assert!(List::parse(format!("{text}reg.example/a:x\n").as_bytes()).is_err());
        let mut wide = List::default();
        for number in 0..3 {
            let many = (0..110_000).map(|leaf_number: u32| leaf(&format!("{number} {leaf_number}")));
            wide.add(format!("reg.example/a:{number}").parse().unwrap(), many);
        }
        let (text, dropped) = wide.to_text();
        assert!(text.len() <= MAX_BYTES && dropped == 1 && text.ends_with('\n'));
        let leaf = leaf("x");
        let blanks = [
            format!("a:1  {leaf}"),
            format!(" a:1 {leaf}"),
            format!("a:1 {leaf} "),
            format!("a:1\t{leaf}"),
            format!("a:1\r {leaf}"),
        ];
        assert!(List::parse(format!("ok:1\r\na:1 {leaf}\r\n").as_bytes()).is_ok());
        let others = ["reg.example/A", "a:1 sha256:00", "a:1 b:2", "\u{1b}[1m", "a:1\tsha256:"];
        let more = [" ", "\t", " # not a remark", "\u{a0}", "\u{feff}", "a:1 ", "a:1\r\r", "\r\r"];
        for wrong in blanks.iter().map(String::as_str).chain(others).chain(more) {
            let fault = List::parse(format!("ok:1\n{wrong}\n").as_bytes()).expect_err(wrong);
            assert!(fault.class == Class::Usage && fault.what.contains("line 2"), "{wrong}: {fault}");
            assert!(!fault.what.contains('\u{1b}'));
        }
        assert!(List::parse(b"\xff").is_err() && List::parse(&vec![b'\n'; MAX_BYTES + 1]).is_err());
    }
}
