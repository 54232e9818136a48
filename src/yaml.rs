//! YAML as a tree with line numbers: for lists, and for the descriptions of charts.
//!
//! Scalars keep the text of the file, so `1.10` stays `1.10`. Aliases share their nodes, and merge
//! keys are resolved. What a document stands for, with all aliases written out, is limited, and so is
//! what is in memory while it is read. Opens no files.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

/// Largest number of nodes that a document stands for, aliases written out.
const MAX_NODES: u64 = 1 << 20;
/// Largest number of bytes in the texts of a document, aliases written out.
const MAX_BYTES: u64 = 256 << 20;
/// Largest depth of a document, aliases written out.
const MAX_DEPTH: u32 = 512;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Line in the file, from 1.
    pub line: usize,
    /// Content.
    pub value: Value,
    weight: Weight,
}

/// How much a node stands for, aliases written out.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    nodes: u64,
    bytes: u64,
    depth: u32,
}

impl Weight {
    /// Adds a node below this one.
    fn add(&mut self, below: Self) {
        self.nodes = self.nodes.saturating_add(below.nodes).saturating_add(1);
        self.bytes = self.bytes.saturating_add(below.bytes);
        self.depth = self.depth.max(below.depth);
    }

    /// Adds a node or key that is kept in memory, with a text of `bytes` bytes.
    ///
    /// # Errors
    /// The limits of a document.
    fn hold(&mut self, bytes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.is_too_much() { Err(too_much(line)) } else { Ok(()) }
    }

    const fn is_too_much(&self) -> bool {
        self.nodes > MAX_NODES || self.bytes > MAX_BYTES || self.depth > MAX_DEPTH
    }
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
        let mut weight = Weight { nodes: 1, ..Weight::default() };
        match &value {
            Value::Scalar(text, _) => weight.bytes = text.len() as u64,
            Value::Sequence(items) => items.iter().for_each(|item| weight.add(item.weight)),
            Value::Mapping(entries) => {
                for (key, node) in entries {
                    weight.add(node.weight);
                    weight.bytes = weight.bytes.saturating_add(key.len() as u64);
                }
            }
        }
        weight.depth = weight.depth.saturating_add(1);
        Self { line, value, weight }
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
    let mut documents = Vec::new();
    each(text, &mut |document| {
        documents.push(document);
        ControlFlow::Continue(())
    })?;
    Ok(documents)
}

/// Parses a text and gives each document to `take` when it is complete, until `take` breaks, so that
/// one document at a time is in memory.
///
/// # Errors
/// As [`parse`]. The documents before it have been given.
pub fn each(text: &str, take: &mut dyn FnMut(Arc<Node>) -> ControlFlow<()>) -> Result<(), YamlError> {
    let mut builder = Builder::default();
    let limit = MAX_DEPTH as usize;
    let options = granit_parser::options! { flow_nesting_limit: limit, block_nesting_limit: limit };
    let mut parser = Parser::new_from_str_with_options(text, options);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| refused(text, error.marker().line(), &error.info()))?;
        builder.event(event, span.start.line())?;
        if let Some(document) = builder.document.take()
            && take(document).is_break()
        {
            break;
        }
    }
    Ok(())
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
    /// The document that is complete.
    document: Option<Arc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    /// Everything of this document in memory: nodes, and the keys and entries that merging copied.
    held: Weight,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.held = Weight::default();
            }
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar(text.into_owned(), style == ScalarStyle::Plain);
                self.made(Node::new(line, value), anchor)?;
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
                    let value =
                        if is_mapping { mapping(line, &items, &mut self.held)? } else { Value::Sequence(items) };
                    self.made(Node::new(line, value), anchor)?;
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

    /// Adds a new node.
    fn made(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        let text = if let Value::Scalar(text, _) = &node.value { text.len() } else { 0 };
        self.held.hold(text, node.line)?;
        self.add(Arc::new(node), anchor)
    }

    fn add(&mut self, node: Arc<Node>, anchor: usize) -> Result<(), YamlError> {
        if node.weight.is_too_much() {
            return Err(too_much(node.line));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.document = Some(node),
        }
        Ok(())
    }
}

fn too_much(line: usize) -> YamlError {
    let reason = format!(
        "expected at most {MAX_NODES} values, {MAX_BYTES} bytes, {MAX_DEPTH} deep, in a document with all aliases \
         written out, found more"
    );
    YamlError { line, reason }
}

/// Makes a mapping of keys and values in turn; `held` counts the entries that merge keys copy. Of a key given twice both values stay, so that readers
/// of all entries miss none; [`Node::get`] returns the last, as most readers do.
///
/// # Errors
/// A mapping over the limits.
fn mapping(line: usize, items: &[Arc<Node>], held: &mut Weight) -> Result<Value, YamlError> {
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
                held.hold(name.len(), line)?;
                entries.push((name.clone(), Arc::clone(value)));
            }
        }
    }
    Ok(Value::Mapping(entries))
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
    fn what_would_fill_memory_is_refused() {
        let too_much = |text: &str, what: &str| {
            let error = parse(text).map(|all| all.len()).expect_err(what);
            assert!(error.reason.contains("at most") || error.reason.contains("not YAML"), "{what}: {error:?}");
        };
        for depth in [600, 20_000] {
            too_much(&"[".repeat(depth), "open sequences");
            too_much(&"- ".repeat(depth), "open items");
            too_much(&"{a: ".repeat(depth), "open mappings");
            too_much(&(0..depth.min(2_000)).map(|n| " ".repeat(n) + "a:\n").collect::<String>(), "open keys");
        }
        too_much(&"- a\n".repeat(1 << 20), "many items");
        too_much(&format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(300)), "one text many times");
        let wide: String = (0..2_000).map(|n| format!("k{n}: v, ")).collect();
        too_much(&format!("- &a {{{wide}}}\n{}", "- {<<: *a}\n".repeat(2_000)), "one mapping merged many times");
        let long = format!("- &a {{? {} : v}}\n{}", "k".repeat(1 << 20), "- {<<: *a}\n".repeat(300));
        too_much(&long, "one long key merged many times");
        let chain: String = (0..700).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).skip(1).collect();
        too_much(&format!("a0: &a0 x\n{chain}"), "a deep chain of aliases");
        // One document after another is no problem, nor is one huge text.
        let mut count = 0;
        let all = each(&"- a\n---\n".repeat(20_000), &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert!(all.is_ok() && count >= 20_000, "{all:?} {count}");
        assert_eq!(parse(&format!("a: {}\n", "x".repeat(2 << 20))).unwrap().len(), 1);
        assert_eq!(parse(&format!("{}x{}", "[".repeat(500), "]".repeat(500))).unwrap().len(), 1);
    }

    #[test]
    fn documents_are_given_until_that_is_enough() {
        let mut seen = Vec::new();
        let done = each("a: 1\n---\nb: 1\n---\n[\n", &mut |document| {
            seen.push(document.line);
            if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((done, seen), (Ok(()), vec![1, 3]));
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
