//! The only way to write a page: markup from this program, and escaped text.
//!
//! [`Html::raw`] accepts only compiled-in strings, so text from outside cannot become markup.

use crate::base::fault::escape;

/// A page being written.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Writes markup.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Writes text from any source. Control, bidirectional and invisible characters become `\u{…}`,
    /// long text is cut, and HTML's special characters become references.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in escape(text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Writes a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// Writes a byte count for people.
    pub fn size(&mut self, bytes: u64) -> &mut Self {
        self.0.push_str(&crate::base::size::show(bytes));
        self
    }

    /// Writes a moment such as `2026-01-31T12:00:00Z` for people.
    pub fn moment(&mut self, moment: &str) -> &mut Self {
        match moment.strip_suffix('Z').and_then(|moment| moment.split_once('T')) {
            Some((day, time)) => self.text(day).raw(" ").text(time).raw(" UTC"),
            None => self.text(moment),
        }
    }

    /// Writes texts separated by commas: the first `most`, then the number of the others.
    pub fn list(&mut self, texts: &[String], most: usize) -> &mut Self {
        for (index, text) in texts.iter().take(most).enumerate() {
            self.raw(if index == 0 { "" } else { ", " }).text(text);
        }
        if texts.len() > most {
            self.raw(" and ").number((texts.len() - most) as u64).raw(" more");
        }
        self
    }

    /// Returns the number of bytes written so far.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the page.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m12_text_is_never_markup() {
        let mut html = Html::default();
        html.raw("<b>").text("<script>&\"'\u{1b}\u{202e}\0").raw("</b>");
        assert_eq!(html.finish(), "<b>&lt;script&gt;&amp;&quot;&#39;\\u{1b}\\u{202e}\\u{0}</b>");
        let mut html = Html::default();
        html.text(&"<".repeat(1 << 20));
        assert!(html.len() < 2000);
    }

    #[test]
    fn lists_are_cut() {
        let mut html = Html::default();
        html.list(&["a".to_owned(), "b".to_owned(), "c".to_owned()], 2);
        assert_eq!(html.finish(), "a, b and 1 more");
    }
}
