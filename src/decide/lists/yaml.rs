//! YAML as a tree with line numbers, for readers of lists.
//!
//! Scalars keep the text of the file, so `1.10` stays `1.10`. Aliases share their nodes, and merge
//! keys are resolved. What a document stands for, with all aliases written out, is limited.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

/// Largest number of nodes that a document stands for, aliases written out.
const MAX_NODES: u64 = 1 << 20;
/// Largest depth of a document, aliases written out.
const MAX_DEPTH: u32 = 512;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Line in the file, from 1.
    pub line: usize,
    /// Content.
    pub value: Value,
    nodes: u64,
    depth: u32,
}

/// Content of a node.
#[derive(Debug)]
pub enum Value {
    /// A scalar: its text, and whether it is written without quotes.
    Scalar(String, bool),
    /// A sequence.
    Sequence(Vec<Arc<Node>>),
    /// A mapping: keys with their lines, and values. Merged entries come last.
    Mapping(Vec<(String, Arc<Node>)>),
}

/// Reason why a text cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Line, from 1.
    pub line: usize,
    /// Description.
    pub reason: String,
}

impl Node {
    fn new(line: usize, value: Value) -> Self {
        let children: Box<dyn Iterator<Item = &Arc<Self>> + '_> = match &value {
            Value::Scalar(..) => Box::new(std::iter::empty()),
            Value::Sequence(items) => Box::new(items.iter()),
            Value::Mapping(entries) => Box::new(entries.iter().map(|(_, node)| node)),
        };
        let (mut nodes, mut depth) = (1_u64, 0);
        for child in children {
            nodes = nodes.saturating_add(child.nodes).saturating_add(1);
            depth = depth.max(child.depth);
        }
        Self { line, value, nodes, depth: depth.saturating_add(1) }
    }

    /// Returns the value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(name, _)| name == key).map(|(_, node)| &**node)
    }

    /// Returns the value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the entries of a mapping; none for another node.
    pub fn entries(&self) -> &[(String, Arc<Self>)] {
        if let Value::Mapping(entries) = &self.value { entries } else { &[] }
    }

    /// Returns the items of a sequence; none for another node.
    pub fn items(&self) -> &[Arc<Self>] {
        if let Value::Sequence(items) = &self.value { items } else { &[] }
    }

    /// Returns the text of a scalar, if it is neither empty nor null.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, plain) if !(text.is_empty() || *plain && is_null(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of the scalar under a key.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// Returns whether it is a mapping.
    pub const fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Mapping(_))
    }

    /// Returns whether it is null or an empty text.
    pub fn is_empty(&self) -> bool {
        matches!(self.value, Value::Scalar(..)) && self.text().is_none()
    }

    /// Returns whether it is a number that other readers of YAML show differently, such as `1.10`.
    pub fn is_changed_number(&self) -> bool {
        let Value::Scalar(text, true) = &self.value else { return false };
        let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'));
        let odd = |prefix: &str| text.starts_with(prefix);
        if odd("0x") || odd("0o") || odd("0b") || (text.len() > 1 && odd("0") && !odd("0.")) {
            return text.chars().all(|c| c.is_ascii_alphanumeric());
        }
        is_number && text.parse::<f64>().is_ok_and(|number| number.to_string() != *text)
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}

/// Parses all documents of a text.
///
/// # Errors
/// The first line that is not YAML, or a document over the limits.
pub fn parse(text: &str) -> Result<Vec<Arc<Node>>, YamlError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| refused(text, error.marker().line(), &error.info()))?;
        builder.event(event, span.start.line())?;
    }
    Ok(builder.documents)
}

fn refused(text: &str, line: usize, reason: &str) -> YamlError {
    // The scanner may notice a tab only after it.
    let before = |number: &usize| {
        let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
        line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
    };
    let tab = [line, line.saturating_sub(1), line + 1].into_iter().find(before);
    match tab {
        Some(line) => YamlError { line, reason: "a tab cannot indent YAML: write blanks".to_owned() },
        None => YamlError { line, reason: format!("not YAML: {reason}") },
    }
}

/// A collection that is not complete.
struct Open {
    line: usize,
    anchor: usize,
    items: Vec<Arc<Node>>,
    is_mapping: bool,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Arc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar(text.into_owned(), style == ScalarStyle::Plain);
                self.add(Arc::new(Node::new(line, value)), anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, items: Vec::new(), is_mapping: false });
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open { line, anchor, items: Vec::new(), is_mapping: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { line, anchor, items, is_mapping }) = self.open.pop() {
                    // `image: {{ x }}` of a template is a mapping with a mapping as its key.
                    let is_key = |node: &Arc<Node>| matches!(node.value, Value::Scalar(..));
                    if let Some(key) = items.iter().step_by(2).find(|key| is_mapping && !is_key(key)) {
                        let reason = "expected a text as a key, found a collection".to_owned();
                        return Err(YamlError { line: key.line, reason });
                    }
                    let value = if is_mapping { mapping(&items) } else { Value::Sequence(items) };
                    self.add(Arc::new(Node::new(line, value)), anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let reason = "not YAML: an alias of what contains it".to_owned();
                let node = self.anchors.get(&anchor).cloned().ok_or(YamlError { line, reason })?;
                self.add(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, node: Arc<Node>, anchor: usize) -> Result<(), YamlError> {
        if node.nodes > MAX_NODES || node.depth > MAX_DEPTH {
            let reason = format!("expected at most {MAX_NODES} values, {MAX_DEPTH} deep, in a document, found more");
            return Err(YamlError { line: node.line, reason });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }
}

/// Makes a mapping of keys and values in turn. Of a key given twice both values stay, so that readers
/// of all entries miss none; [`Node::get`] returns the last, as most readers do.
fn mapping(items: &[Arc<Node>]) -> Value {
    let mut entries: Vec<(String, Arc<Node>)> = Vec::with_capacity(items.len() / 2);
    let mut known: HashSet<String> = HashSet::new();
    let mut merged = Vec::new();
    for pair in items.chunks_exact(2) {
        let [key, value] = pair else { continue };
        let Value::Scalar(name, plain) = &key.value else { continue };
        if name == "<<" && *plain {
            merged.push(Arc::clone(value));
        } else {
            known.insert(name.clone());
            entries.push((name.clone(), Arc::clone(value)));
        }
    }
    for from in &merged {
        let one = std::slice::from_ref(from);
        let all = if from.is_mapping() { one } else { from.items() };
        for (name, value) in all.iter().flat_map(|from| from.entries()) {
            if known.insert(name.clone()) {
                entries.push((name.clone(), Arc::clone(value)));
            }
        }
    }
    Value::Mapping(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_text_and_their_line() {
        let documents = parse("# c\na: 1.10\nb: [x, 'null', null]\n---\n- 2.0\n---\n# end\n").unwrap();
        assert_eq!((documents[0].text_of("a"), documents[0].get("a").unwrap().line), (Some("1.10"), 2));
        let items = documents[0].get("b").unwrap().items();
        assert_eq!(items.iter().map(|item| item.text()).collect::<Vec<_>>(), [Some("x"), Some("null"), None]);
        assert_eq!(documents[1].items()[0].text(), Some("2.0"));
        assert!(documents.get(2).is_none_or(|last| last.is_empty()));
    }

    #[test]
    fn merge_keys_give_what_is_not_there() {
        let documents = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: [{z: 4}, *a]}\n").unwrap();
        assert_eq!(documents[0].at(&["b", "x"]).unwrap().text(), Some("3"));
        assert_eq!(documents[0].at(&["b", "y"]).unwrap().text(), Some("2"));
        assert_eq!(documents[0].at(&["c", "z"]).unwrap().text(), Some("4"));
        assert_eq!(documents[0].at(&["c", "x"]).unwrap().text(), Some("1"));
    }

    #[test]
    fn a_key_given_twice_keeps_both_values() {
        let documents = parse("image: a\nimage: b\n").unwrap();
        assert_eq!((documents[0].entries().len(), documents[0].text_of("image")), (2, Some("b")));
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        let error = parse("images:\n\t- quay.io/team/app:1\n").unwrap_err();
        assert_eq!((error.line, error.reason.contains("tab")), (2, true), "{error:?}");
        assert_eq!(parse("a: b\nc: [\n").unwrap_err().line, 2);
        assert!(parse("a: &a [*a]\n").is_err() && parse("a: *b\n").is_err());
        let bomb: String = (0..40)
            .map(|n| format!("a{n}: &a{n} [{0}, {0}]\n", if n == 0 { "x".to_owned() } else { format!("*a{}", n - 1) }))
            .collect();
        assert!(parse(&bomb).unwrap_err().reason.contains("at most"));
    }

    #[test]
    fn numbers_that_readers_change() {
        let changed = |text: &str| parse(text).unwrap()[0].is_changed_number();
        for text in ["1.10", "2.0", "1e3", "010", "0x1f", "+1"] {
            assert!(changed(text), "{text}");
        }
        for text in ["1.1", "7", "'1.10'", "1.10.0", "v1.10", "0", "0.5", "latest"] {
            assert!(!changed(text), "{text}");
        }
    }
}
