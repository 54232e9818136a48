//! A [`Page`] as HTML: one file without scripts or external resources, readable on screens of any
//! width and on paper.
//!
//! The verdict comes first. Nothing is expressed by colour alone. The style is in `page.css`.

use super::contents;
use super::differences::differences;
use super::markup::Html;
use super::transfer::{from_to, novelties};
use super::{Bundle, ENTRIES, Mark, Page, Signatures, Standing, Verdict};

/// Start of every page.
pub const HTML_BEGINS: &str = "<!doctype html><!-- packmule report -->";

/// Maximum number of faults on a page.
const FAULTS: usize = 300;
/// Maximum number of lines of a command's output.
const LINES: usize = 5000;

/// Start of every HTML document: the style, and a policy that allows no scripts.
pub(super) const HEAD: &str = concat!(
    "<!doctype html><!-- packmule report -->",
    "<html lang=en><head><meta charset=utf-8>",
    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">",
    "<meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=referrer content=no-referrer>",
    "<meta name=color-scheme content=\"light dark\"><style>",
    include_str!("page.css"),
    "</style>",
);

/// Content of a page's file until the run has ended. It ends in an open comment, so that anything
/// after it is hidden until this beginning is replaced.
pub const HTML_UNFINISHED: &str = concat!(
    "<!doctype html><!-- packmule report --><html lang=en><meta charset=utf-8><title>NO VERDICT</title>",
    "<h1>NO VERDICT</h1><p>The run that writes this report has not ended yet, or was killed. ",
    "It says nothing about the bundle.</p><!--"
);

/// Returns the page as HTML.
pub fn to_html(page: &Page) -> String {
    let mut html = Html::default();
    html.raw(HEAD).raw("<title>").raw(word(page));
    if let Some(bundle) = &page.bundle {
        html.raw(" – ").text(&bundle.name);
    }
    html.raw(" – packmule ").text(&page.command).raw("</title></head><body><main>");
    verdict(&mut html, page);
    if let Some(bundle) = &page.bundle {
        identity(&mut html, bundle);
    }
    faults(&mut html, page);
    if let Some(signatures) = &page.signatures {
        signers(&mut html, signatures);
    }
    if let Some(transfer) = &page.transfer {
        from_to(&mut html, transfer);
    }
    checks(&mut html, page);
    proofs(&mut html, page);
    if let Some(list) = &page.contents {
        html.raw("<section><h2>Summary of the contents</h2>");
        contents::summary(&mut html, list);
        html.raw("</section>");
    }
    if let Some(news) = &page.news {
        novelties(&mut html, news);
    }
    absent(&mut html, page);
    if let Some(found) = &page.differences {
        differences(&mut html, found);
    }
    if !page.text.is_empty() {
        html.raw("<section><h2>Output of the command</h2><pre>");
        for line in page.text.iter().take(LINES) {
            html.text(line).raw("\n");
        }
        html.raw(if page.text.len() > LINES { "… and more</pre>" } else { "</pre>" }).raw("</section>");
    }
    if page.verdict == Verdict::Pass {
        on_paper(&mut html, page);
    }
    if let Some(list) = &page.contents {
        inside(&mut html, page, list);
    }
    html.raw("<footer><p>Written ").moment(&page.written).raw(" by ").text(&page.tool).raw(", command <code>");
    html.text(&page.command).raw("</code>, exit code ").number(u64::from(page.exit));
    html.raw(". Quoted text is from the sender; misleading characters are shown as \\u{…}, and long text is cut.</p>");
    if let Some(run) = &page.run {
        html.raw("<p>Run: <code>").text(run).raw("</code></p>");
    }
    if let Some(audit) = &page.audit {
        html.raw("<p>Audit log: <code>").text(audit).raw("</code></p>");
    }
    html.raw("</footer></main></body></html>\n");
    html.finish()
}

fn word(page: &Page) -> &'static str {
    match (page.verdict, page.command.as_str()) {
        (Verdict::Pass, _) => "PASS",
        (Verdict::Part, _) => "PART",
        (Verdict::Refused, _) => "REFUSED",
        (Verdict::None, _) => "NO VERDICT",
        (Verdict::Done, "import") => "IMPORTED",
        (Verdict::Done, "export") => "EXPORTED",
        (Verdict::Done, _) => "DONE",
        (Verdict::Failed, "import") => "NOT IMPORTED",
        (Verdict::Failed, "export") => "NOT EXPORTED",
        (Verdict::Failed, _) => "FAILED",
    }
}

fn verdict(html: &mut Html, page: &Page) {
    html.raw(match page.verdict {
        // Outcomes of other commands must not look like an approval.
        Verdict::Done if page.contents.is_none() => "<header><h1>",
        Verdict::Pass | Verdict::Done => "<header class=good><h1><span aria-hidden=true>✓ </span>",
        Verdict::Refused | Verdict::Failed => "<header class=bad><h1><span aria-hidden=true>✕ </span>",
        Verdict::Part => "<header class=warn><h1><span aria-hidden=true>◐ </span>",
        Verdict::None => "<header class=warn><h1><span aria-hidden=true>? </span>",
    });
    html.raw(word(page)).raw("</h1><p>").text(&page.summary).raw("</p></header>");
}

/// Writes the id as four lines of four groups of four digits, for reading it out over the phone.
pub(super) fn groups(html: &mut Html, id: &str) {
    let (algorithm, hex) = id.split_once(':').unwrap_or(("", id));
    let cut = |text: &str, from: usize| text.chars().skip(from).take(4).collect::<String>();
    html.raw("<p class=hint>Read it out line by line; the sender compares it with their own (");
    html.text(algorithm).raw(").</p><ol class=id>");
    for line in 0..hex.chars().count().div_ceil(16).min(8) {
        html.raw("<li>");
        for group in 0..4 {
            html.raw("<b>").text(&cut(hex, line * 16 + group * 4)).raw("</b> ");
        }
    }
    html.raw("</ol>");
}

fn identity(html: &mut Html, bundle: &Bundle) {
    html.raw("<section><h2>Which bundle</h2><dl><dt>Name<dd>").text(&bundle.name);
    if let (Some(artifacts), Some(blobs), Some(bytes)) = (bundle.artifacts, bundle.blobs, bundle.bytes) {
        html.raw("<dt>Holds<dd>").number(artifacts).raw(" artifacts, ").number(blobs).raw(" blobs, ").size(bytes);
        html.raw(" unpacked");
    }
    if let Some(volumes) = bundle.volumes {
        html.raw("<dt>Files<dd>");
        if volumes == 0 {
            html.raw("a folder of plain files");
        } else {
            html.number(volumes).raw(if volumes == 1 { " volume" } else { " volumes" });
        }
    }
    if let Some(tool) = &bundle.tool {
        html.raw("<dt>Made by<dd>").text(tool);
    }
    html.raw("</dl>");
    if let Some(id) = &bundle.id {
        html.raw("<h3>Bundle id</h3>");
        groups(html, id);
        html.raw("<p class=hint>In one piece: <code>").text(id).raw("</code></p>");
    }
    if !bundle.authenticated {
        html.raw("<p class=warn>No known key has signed this bundle, so nothing else in it was read.</p>");
    }
    html.raw("</section>");
}

fn faults(html: &mut Html, page: &Page) {
    if !page.faults.is_empty() {
        html.raw("<section><h2>Problems</h2><ol>");
        for fault in page.faults.iter().take(FAULTS) {
            html.raw("<li><b>").text(&fault.class).raw("</b>: ").text(&fault.message);
        }
        html.raw("</ol>");
        if page.faults.len() > FAULTS {
            html.raw("<p>and ").number((page.faults.len() - FAULTS) as u64).raw(" more.</p>");
        }
        html.raw("</section>");
    }
    if !page.next.is_empty() {
        html.raw("<section><h2>What to do next</h2><ul>");
        for next in page.next.iter().take(ENTRIES) {
            html.raw("<li>").text(next);
        }
        html.raw("</ul></section>");
    }
    if !page.warnings.is_empty() {
        html.raw("<section class=warn><h2>Take note</h2><ul>");
        for warning in page.warnings.iter().take(ENTRIES) {
            html.raw("<li>").text(warning);
        }
        html.raw("</ul></section>");
    }
}

pub(super) fn signers(html: &mut Html, signatures: &Signatures) {
    html.raw("<section><h2>Who signed</h2>");
    let (counted, needed) = (signatures.counted, signatures.needed);
    if needed > 0 {
        let whom = if signatures.section.is_some() { ", by different holders" } else { "" };
        html.raw("<p>Signatures needed: ").number(needed).raw(whom).raw(". Found: ").number(counted);
        html.raw(if counted >= needed { " – enough" } else { " – <strong>too few</strong>" });
        if let Some(section) = &signatures.section {
            html.raw(" (policy: ").text(section).raw(")");
        }
        html.raw(".</p>");
    }
    if !signatures.missing_roles.is_empty() {
        html.raw("<p class=warn><strong>Missing role: ").list(&signatures.missing_roles, ENTRIES).raw("</strong></p>");
    }
    html.raw("<table class=rows><thead><tr><th scope=col>Signature<th scope=col>Holder<th scope=col>Role");
    html.raw("<th scope=col>Key</thead><tbody>");
    for signer in signatures.signers.iter().take(ENTRIES) {
        html.raw(match signer.standing {
            Standing::Signed => "<tr><th scope=row>signed with",
            Standing::Counted => "<tr class=good><th scope=row>✓ valid, counts",
            Standing::Aside => "<tr><th scope=row>– valid, does not count here",
            Standing::Ended => "<tr class=warn><th scope=row>– valid, but the key's time is over: does not count",
            Standing::Unknown => "<tr><th scope=row>– by an unknown key, does not count",
            Standing::Wrong => "<tr class=bad><th scope=row>✕ WRONG",
            Standing::Missing => "<tr class=warn><th scope=row>– not signed",
        });
        html.raw("<td>").text(signer.holder.as_deref().unwrap_or("–"));
        html.raw("<td>").text(signer.role.as_deref().unwrap_or("–"));
        html.raw("<td><code>").text(&signer.key).raw("</code>");
    }
    html.raw("</table>");
    if signatures.signers.len() > ENTRIES {
        html.raw("<p>and ").number((signatures.signers.len() - ENTRIES) as u64).raw(" more.</p>");
    }
    html.raw("</section>");
}

fn inside(html: &mut Html, page: &Page, list: &super::Contents) {
    html.raw("<section class=annex><h2>Annex: full contents</h2>");
    if page.verdict == Verdict::Refused {
        html.raw(
            "<p class=warn>The bundle was refused: this is what its manifest states, not a proof of its contents.</p>",
        );
    }
    if !list.read {
        html.raw("<p class=hint>Its documents were not read, so platforms, sizes and some attached artifacts are not known.</p>");
    }
    html.raw("<p class=hint>Content that several artifacts share counts in the size of each.</p>");
    contents::table(html, list);
    html.raw("</section>");
}

fn absent(html: &mut Html, page: &Page) {
    if page.contents.is_none() {
        return;
    }
    html.raw("<section><h2>Not included</h2>");
    if page.absent.is_empty() {
        html.raw("<p>Nothing is missing: everything that the artifacts refer to is included.</p></section>");
        return;
    }
    html.raw("<table class=rows><thead><tr><th scope=col>Reason<th scope=col class=n>Size<th scope=col>Artifacts");
    html.raw("</thead><tbody>");
    for absent in &page.absent {
        html.raw("<tr><th scope=row>").text(&absent.why).raw("<td class=n>").number(absent.blobs).raw(" blobs, ");
        html.size(absent.bytes).raw("<td>").list(&absent.artifacts, 12);
    }
    html.raw("</table></section>");
}

fn checks(html: &mut Html, page: &Page) {
    if page.checks.is_empty() {
        return;
    }
    html.raw("<section><h2>Checks</h2><table class=rows><thead><tr><th scope=col>Check<th scope=col>Result");
    html.raw("<th scope=col>Found</thead><tbody>");
    for check in &page.checks {
        html.raw(match check.result {
            Mark::Passed => "<tr class=good><th scope=row>",
            Mark::Failed => "<tr class=bad><th scope=row>",
            Mark::Overlooked => "<tr class=warn><th scope=row>",
            Mark::Open => "<tr><th scope=row>",
        });
        html.text(&check.name).raw(match check.result {
            Mark::Passed => "<td>✓ passed<td>",
            Mark::Failed => "<td>✕ FAILED<td>",
            Mark::Overlooked => "<td>! overlooked<td>",
            Mark::Open => "<td>– not made<td>",
        });
        html.text(&check.detail);
    }
    html.raw("</table></section>");
}

fn proofs(html: &mut Html, page: &Page) {
    if let Some(handling) = &page.handling {
        html.raw("<section><h2>Handling of the content</h2><p>").text(handling).raw("</p></section>");
    }
    if page.proven.is_empty() && page.unproven.is_empty() {
        return;
    }
    html.raw("<section class=pair><div><h2>What this proves</h2><ul>");
    for line in &page.proven {
        html.raw("<li>").text(line);
    }
    if page.proven.is_empty() {
        html.raw("<li>Nothing.");
    }
    html.raw("</ul></div><div><h2>What it does not prove</h2><ul>");
    for line in &page.unproven {
        html.raw("<li>").text(line);
    }
    html.raw("</ul></div></section>");
}

/// Writes the lines for two people to sign on.
fn on_paper(html: &mut Html, page: &Page) {
    html.raw("<section class=sign><h2>Decision on paper</h2>");
    if let Some(bundle) = &page.bundle {
        html.raw("<p>Bundle ").text(&bundle.name).raw(" <code>").text(bundle.id.as_deref().unwrap_or_default());
        html.raw("</code></p>");
    }
    html.raw("<p>☐ bundle id compared with the sender ☐ ticket is right ☐ contents are expected</p>");
    html.raw("<table><thead><tr><th scope=col>Decided by<th scope=col>Name<th scope=col>Signature");
    html.raw("<th scope=col>Date and time</thead><tbody>");
    html.raw("<tr><th scope=row>First person<td><td><td><tr><th scope=row>Second person<td><td><td></table></section>");
}
