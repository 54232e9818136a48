//! The one way to a page: markup that stands in this program, and text that is escaped.
//!
//! [`Html::raw`] takes what was compiled in and nothing else, so that no text from outside can be markup.

use crate::base::fault::escape;

/// A page under way.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Markup.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text from anywhere: control, bidirectional and invisible characters become `\u{…}`, a long one is cut, and what
    /// HTML reads as markup becomes references.
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

    /// A number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// Bytes, as people say them.
    pub fn size(&mut self, bytes: u64) -> &mut Self {
        self.0.push_str(&crate::base::size::show(bytes));
        self
    }

    /// A moment, `2026-01-31T12:00:00Z`, as people write it.
    pub fn moment(&mut self, moment: &str) -> &mut Self {
        match moment.strip_suffix('Z').and_then(|moment| moment.split_once('T')) {
            Some((day, time)) => self.text(day).raw(" ").text(time).raw(" UTC"),
            None => self.text(moment),
        }
    }

    /// Texts with commas between them: the first `most`, then how many more.
    pub fn list(&mut self, texts: &[String], most: usize) -> &mut Self {
        for (index, text) in texts.iter().take(most).enumerate() {
            self.raw(if index == 0 { "" } else { ", " }).text(text);
        }
        if texts.len() > most {
            self.raw(" and ").number((texts.len() - most) as u64).raw(" more");
        }
        self
    }

    /// How many bytes it has.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The page.
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
