//! Part of a page: what differs between two sides of `diff`.

use serde::Serialize;

use super::markup::Html;

/// Maximum number of rows on a page.
const ROWS: usize = 2000;

/// Differences between two sides.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Differences {
    /// First side, as typed.
    pub old: String,
    /// Second side, as typed.
    pub new: String,
    /// Scope of the comparison, in one sentence.
    pub scope: String,
    /// Number of names that are the same on both sides, if names were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<u64>,
    /// Everything that differs.
    pub rows: Vec<Differing>,
}

/// One difference.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "online", derive(schemars::JsonSchema))]
pub struct Differing {
    /// Name, or repository, that it is about.
    pub name: String,
    /// Kind of the difference, in a word or two.
    pub kind: String,
    /// On the first side, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// On the second side, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// Writes the differences.
pub(super) fn differences(html: &mut Html, found: &Differences) {
    html.raw("<section><h2>Differences</h2><dl><dt>A<dd>").text(&found.old).raw("<dt>B<dd>").text(&found.new);
    if let Some(same) = found.same {
        html.raw("<dt>The same<dd>").number(same).raw(if same == 1 { " name" } else { " names" });
    }
    html.raw("</dl><p>").text(&found.scope).raw("</p>");
    if found.rows.is_empty() {
        html.raw("<p><b>Nothing differs.</b></p></section>");
        return;
    }
    html.raw("<table class=rows><thead><tr><th scope=col>Name<th scope=col>Difference<th scope=col>A");
    html.raw("<th scope=col>B</thead><tbody>");
    for row in found.rows.iter().take(ROWS) {
        html.raw("<tr><th scope=row>").text(&row.name).raw("<td>").text(&row.kind);
        for side in [&row.old, &row.new] {
            html.raw("<td>");
            match side {
                Some(text) => html.raw("<code>").text(text).raw("</code>"),
                None => html.raw("–"),
            };
        }
    }
    html.raw("</table>");
    if found.rows.len() > ROWS {
        html.raw("<p>and ").number((found.rows.len() - ROWS) as u64).raw(" more; the JSON report has all.</p>");
    }
    html.raw("</section>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Page, Verdict, to_html};

    #[test]
    fn rows_are_told_on_both_sides_and_no_text_is_markup() {
        let row = |name: &str, old: Option<&str>, new: Option<&str>| Differing {
            name: name.to_owned(),
            kind: "changed".to_owned(),
            old: old.map(Into::into),
            new: new.map(Into::into),
        };
        let rows = vec![row("a:<b>", Some("sha256:1"), Some("sha256:2")), row("c:1", None, Some("sha256:3"))];
        let differences =
            Differences { old: "./a".to_owned(), new: "r.example".to_owned(), rows, ..Differences::default() };
        let page = Page { verdict: Verdict::Done, differences: Some(differences), ..Page::default() };
        let html = to_html(&page);
        assert!(
            html.contains("<tr><th scope=row>a:&lt;b&gt;<td>changed<td><code>sha256:1</code><td><code>sha256:2</code>")
        );
        assert!(html.contains("<td>–<td><code>sha256:3</code>") && !html.contains("<b>\u{20}"));
        assert!(!html.contains("header class=good"), "no approval");
        let same = Page { differences: Some(Differences::default()), ..page };
        assert!(to_html(&same).contains("Nothing differs."));
    }
}
