//! The status page of a watcher: its pipelines, what waits, what failed, and the newest runs.
//!
//! Like a report, one file without scripts or external resources, for screens of any width. A browser
//! loads it again by itself. Nothing is expressed by colour alone. All text is escaped by `markup`.

use super::html::HEAD;
use super::markup::Html;

/// Everything on the page.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Time of the page.
    pub now: String,
    /// Pipelines.
    pub pipelines: Vec<WatchedPipeline>,
    /// Newest runs first.
    pub runs: Vec<WatchRun>,
    /// Why runs are missing.
    pub unread: Vec<String>,
}

/// A pipeline that is watched.
#[derive(Clone, Debug, Default)]
pub struct WatchedPipeline {
    /// Name.
    pub name: String,
    /// Container.
    pub source: String,
    /// Destination.
    pub target: String,
    /// Whether its directory is not there.
    pub is_absent: bool,
    /// Why the last look failed.
    pub error: Option<String>,
    /// Time of the last look.
    pub looked: Option<String>,
    /// Time of the next look.
    pub next: Option<String>,
    /// The bundle that is being imported, and since when.
    pub importing: Option<(String, String)>,
    /// Number of bundles that were imported.
    pub settled: u64,
    /// Bundles that wait for files, and for which.
    pub arriving: Vec<(String, String)>,
    /// Number of all of them.
    pub arriving_count: u64,
    /// Bundles that failed.
    pub failed: Vec<WatchedBundle>,
    /// Number of all of them.
    pub failed_count: u64,
}

/// A bundle that failed.
#[derive(Clone, Debug, Default)]
pub struct WatchedBundle {
    /// Name.
    pub name: String,
    /// Id.
    pub id: String,
    /// Class of the fault.
    pub class: String,
    /// Its text.
    pub text: String,
    /// How often it failed.
    pub tries: u64,
    /// When it failed first.
    pub since: String,
    /// When it is tried again.
    pub next: String,
    /// The last run.
    pub run: Option<String>,
}

/// A run.
#[derive(Clone, Debug, Default)]
pub struct WatchRun {
    /// Id.
    pub id: String,
    /// Pipeline.
    pub pipeline: String,
    /// Direction.
    pub kind: &'static str,
    /// State.
    pub state: &'static str,
    /// Start.
    pub started: String,
    /// End.
    pub ended: Option<String>,
    /// Name of the bundle.
    pub bundle: Option<String>,
    /// Bytes sent or written.
    pub bytes: u64,
    /// Class and text of its fault.
    pub error: Option<(String, String)>,
}

/// Seconds after which a browser loads the page again.
const REFRESH: &str = "<meta http-equiv=refresh content=15>";

/// Returns the page as HTML.
pub fn watched_html(watched: &Watched) -> String {
    let failed: u64 = watched.pipelines.iter().map(|one| one.failed_count).sum();
    let unreachable = watched.pipelines.iter().filter(|one| one.error.is_some()).count() as u64;
    let working = watched.pipelines.iter().filter(|one| one.importing.is_some()).count();
    let mut html = Html::default();
    html.raw(HEAD).raw(REFRESH).raw("<title>");
    let (class, mark, word) = match (failed + unreachable, working) {
        (0, 0) => ("<header class=good><h1>", "<span aria-hidden=true>✓ </span>", "Watching"),
        (0, _) => ("<header class=good><h1>", "<span aria-hidden=true>✓ </span>", "Importing"),
        _ => ("<header class=warn><h1>", "<span aria-hidden=true>! </span>", "Needs a look"),
    };
    html.raw(word).raw(" – packmule pipeline watch</title></head><body><main>").raw(class).raw(mark).raw(word);
    html.raw("</h1><p>").number(watched.pipelines.len() as u64);
    html.raw(if watched.pipelines.len() == 1 { " pipeline" } else { " pipelines" });
    if failed > 0 {
        html.raw(", ").number(failed).raw(if failed == 1 { " bundle failed" } else { " bundles failed" });
    }
    if unreachable > 0 {
        html.raw(", ").number(unreachable);
        html.raw(if unreachable == 1 { " container not reached" } else { " containers not reached" });
    }
    html.raw(". As of ").moment(&watched.now).raw("; loaded again every 15 seconds.</p></header>");
    watched.pipelines.iter().for_each(|one| pipeline(&mut html, one));
    runs(&mut html, watched);
    html.raw(
        "<footer><p>Quoted text is from outside; misleading characters are shown as \\u{…}, and long text is cut. ",
    );
    html.raw("<a href=/healthz>Health</a>, <a href=/metrics>metrics</a>.</p></footer></main></body></html>\n");
    html.finish()
}

fn pipeline(html: &mut Html, one: &WatchedPipeline) {
    html.raw("<section><h2>").text(&one.name).raw("</h2><dl><dt>From<dd><code>").text(&one.source);
    html.raw("</code><dt>To<dd><code>").text(&one.target).raw("</code><dt>Last look<dd>");
    match &one.looked {
        Some(at) => html.moment(at),
        None => html.raw("none yet"),
    };
    if one.is_absent {
        html.raw(", the directory was not there");
    }
    html.raw("<dt>Next look<dd>");
    match (&one.importing, &one.next) {
        (Some(_), _) => html.raw("after this import"),
        (None, Some(at)) => html.moment(at),
        (None, None) => html.raw("now"),
    };
    html.raw("<dt>Imported<dd>").number(one.settled);
    html.raw(if one.settled == 1 { " bundle of those there" } else { " bundles of those there" });
    if let Some((bundle, since)) = &one.importing {
        html.raw("<dt>At work<dd><b>").text(bundle).raw("</b>, since ").moment(since);
    }
    html.raw("</dl>");
    if let Some(error) = &one.error {
        html.raw("<p class=bad><strong><span aria-hidden=true>✕ </span>The last look failed:</strong> ");
        html.text(error).raw("</p>");
    }
    if one.failed_count > 0 {
        html.raw("<h3>Failed, tried again later (").number(one.failed_count).raw(")</h3>");
        for bundle in &one.failed {
            failed(html, bundle);
        }
        more(html, one.failed_count, one.failed.len());
    }
    if one.arriving_count > 0 {
        html.raw("<h3>Waiting for files (").number(one.arriving_count).raw(")</h3><dl>");
        for (name, why) in &one.arriving {
            html.raw("<dt>").text(name).raw("<dd>").text(why);
        }
        html.raw("</dl>");
        more(html, one.arriving_count, one.arriving.len());
    }
    html.raw("</section>");
}

fn more(html: &mut Html, all: u64, shown: usize) {
    let more = all.saturating_sub(shown as u64);
    if more > 0 {
        html.raw("<p>and ").number(more).raw(" more.</p>");
    }
}

fn failed(html: &mut Html, bundle: &WatchedBundle) {
    html.raw("<article class=served><h3>").text(&bundle.name).raw("</h3><div><dl><dt>Why<dd><strong class=bad>");
    html.text(&bundle.class).raw("</strong>: ");
    lines(html, &bundle.text);
    html.raw("<dt>Failed<dd>").number(bundle.tries).raw(if bundle.tries == 1 { " time" } else { " times" });
    html.raw(", first ").moment(&bundle.since).raw("<dt>Next try<dd>").moment(&bundle.next);
    html.raw(", or as soon as one of its files changes<dt>Bundle id<dd><code>").text(&bundle.id).raw("</code>");
    if let Some(run) = &bundle.run {
        html.raw("<dt>Last run<dd><code>").text(run).raw("</code>");
    }
    html.raw("</dl></div></article>");
}

/// Writes texts that stand one a line.
fn lines(html: &mut Html, text: &str) {
    for (index, line) in text.lines().take(20).enumerate() {
        html.raw(if index == 0 { "" } else { "<br>" }).text(line);
    }
}

fn runs(html: &mut Html, watched: &Watched) {
    html.raw("<section><h2>Newest runs</h2>");
    for why in &watched.unread {
        html.raw("<p class=warn>").text(why).raw("</p>");
    }
    if watched.runs.is_empty() {
        html.raw("<p>There are no runs yet.</p></section>");
        return;
    }
    html.raw("<table class=rows><thead><tr><th scope=col>State<th scope=col>Bundle<th scope=col>Time");
    html.raw("<th scope=col class=n>Bytes<th scope=col>Run</thead><tbody>");
    for run in &watched.runs {
        html.raw(match run.state {
            "done" => "<tr class=good><th scope=row>✓ ",
            "failed" => "<tr class=bad><th scope=row>✕ ",
            "killed" => "<tr class=warn><th scope=row>! ",
            "waiting" => "<tr class=warn><th scope=row>… ",
            _ => "<tr><th scope=row>▸ ",
        });
        html.raw(run.state).raw("<td>").text(run.bundle.as_deref().unwrap_or("–")).raw(" <small>");
        html.text(&run.pipeline);
        if let Some((class, text)) = &run.error {
            html.raw("<br><b>").text(class).raw("</b>: ");
            lines(html, text);
        }
        html.raw("</small><td>began ").moment(&run.started);
        if let Some(at) = &run.ended {
            html.raw("<br>ended ").moment(at);
        }
        html.raw("<td class=n>").size(run.bytes).raw("<td><code>").text(&run.id).raw("</code>");
    }
    html.raw("</table></section>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(text: &str) -> WatchedPipeline {
        let text = || text.to_owned();
        let bundle = WatchedBundle {
            name: text(),
            id: text(),
            class: text(),
            text: text(),
            tries: 2,
            since: text(),
            next: text(),
            run: Some(text()),
        };
        WatchedPipeline {
            name: text(),
            source: text(),
            target: text(),
            is_absent: true,
            error: Some(text()),
            looked: Some(text()),
            next: Some(text()),
            importing: None,
            settled: 1,
            arriving: vec![(text(), text())],
            arriving_count: 3,
            failed: vec![bundle],
            failed_count: 1,
        }
    }

    #[test]
    fn t9_hostile_names_are_never_markup() {
        let evil = "<script>alert(1)</script>\u{202e}\"'&";
        let run = WatchRun {
            id: evil.into(),
            pipeline: evil.into(),
            kind: "import",
            state: "failed",
            started: evil.into(),
            ended: Some(evil.into()),
            bundle: Some(evil.into()),
            bytes: 7,
            error: Some((evil.into(), evil.into())),
        };
        let watched =
            Watched { now: evil.into(), pipelines: vec![pipeline(evil)], runs: vec![run], unread: vec![evil.into()] };
        let page = watched_html(&watched);
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
        assert!(page.matches("&lt;script&gt;").count() > 20);
        assert!(page.contains("Needs a look") && page.contains("and 2 more."));
    }

    #[test]
    fn t9_the_page_says_what_goes_on() {
        let idle = watched_html(&Watched::default());
        assert!(idle.contains("Watching</h1>") && idle.contains("There are no runs yet."));
        let importing = Some(("apps-7".to_owned(), "2026-01-31T12:00:00Z".to_owned()));
        let pipelines = vec![WatchedPipeline { importing, ..WatchedPipeline::default() }];
        let page = watched_html(&Watched { pipelines, ..Watched::default() });
        assert!(page.contains("Importing</h1>") && page.contains("<b>apps-7</b>, since 2026-01-31 12:00:00 UTC"));
    }
}
