//! The wanted list: content that is missing on a disconnected side, in the source's names, on its way back to the exporter.
//!
//! A line is `REPO[:TAG][@DIGEST]`, then the digests of base leaves that are missing there, one blank between. Sorted by bytes,
//! each once, capped; no clients, no times, no hosts but the artifacts'. Text only; no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::base::fault::{Class, Fault, escape};
use crate::oci::{Digest, Reference};

/// The largest list, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// The most lines.
pub const MAX_LINES: usize = 100_000;

/// A wanted list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    lines: BTreeMap<String, (Reference, BTreeSet<Digest>)>,
}

impl List {
    /// Adds an artifact, or leaves to the one that is there.
    pub fn add(&mut self, reference: Reference, leaves: impl IntoIterator<Item = Digest>) {
        let line = self.lines.entry(reference.to_string()).or_insert_with(|| (reference, BTreeSet::new()));
        line.1.extend(leaves);
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The artifacts, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.lines.values().map(|(reference, _)| reference)
    }

    /// Returns all leaves that are missing somewhere.
    pub fn leaves(&self) -> BTreeSet<Digest> {
        self.lines.values().flat_map(|(_, leaves)| leaves.iter().copied()).collect()
    }

    /// The list as it is written, and how many lines had no room in it.
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

    /// Whether `bytes` are a list as an import writes it, to the byte: every artifact by its digest, each with a leaf that
    /// is missing. A list that a person wrote or changed is none.
    pub fn is_written(bytes: &[u8]) -> bool {
        let is_whole =
            |(reference, leaves): &(Reference, BTreeSet<Digest>)| reference.digest.is_some() && !leaves.is_empty();
        Self::parse(bytes).is_ok_and(|list| list.lines.values().all(is_whole) && list.to_text().0.as_bytes() == bytes)
    }

    /// Reads a list. Empty lines and lines that begin with `#`, which a person may have added, are left out.
    ///
    /// # Errors
    /// [`Class::Usage`]: above a limit, not UTF-8, or a line that is none, by its number.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let wrong = |what: String| Fault::new(Class::Usage, what).help("use a list as `import --wanted-out` writes it");
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("wanted list: expected at most {MAX_BYTES} bytes, found {}", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("wanted list: expected UTF-8".to_owned()))?;
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
            if number > MAX_LINES {
                return Err(wrong(format!("wanted list: expected at most {MAX_LINES} lines, found more")));
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |problem: &dyn std::fmt::Display| {
                wrong(format!("wanted list, line {number}: {}", escape(&problem.to_string())))
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
