//! The contents of a bundle as a table that reads like a tree. Its size is limited, so that a page
//! opens whatever a bundle contains.

use super::markup::Html;
use super::{Brought, Contents, Image, Item, Kind, Novelty};

/// Maximum size in bytes of the list of contents.
const MAX_BYTES: usize = 1_600_000;
/// Maximum number of rows.
const LISTED: usize = 10_000;
/// Maximum number of names in one cell.
const NAMES: usize = 12;

/// Maximum number of labels, and of steps of the history.
const FEW: usize = 6;

/// Returns the name of a kind.
pub const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "image",
        Kind::Chart => "Helm chart",
        Kind::Signature => "signature",
        Kind::Sbom => "SBOM",
        Kind::Vex => "VEX",
        Kind::Attestation => "attestation",
        Kind::Artifact => "other artifact",
    }
}

/// Returns the number of artifacts, including those attached to others.
fn count(items: &[Item]) -> usize {
    items.iter().map(|item| 1 + item.attached.len()).sum()
}

/// Writes the number of artifacts of each kind.
pub fn summary(html: &mut Html, contents: &Contents) {
    const KINDS: [Kind; 7] =
        [Kind::Image, Kind::Chart, Kind::Artifact, Kind::Signature, Kind::Sbom, Kind::Vex, Kind::Attestation];
    let items = || contents.repositories.iter().flat_map(|repository| &repository.items);
    let all = || items().flat_map(|item| std::iter::once(item).chain(&item.attached));
    html.raw("<dl><dt>Repositories<dd>").number(contents.repositories.len() as u64).raw("<dt>Artifacts<dd>");
    let mut is_first = true;
    for kind in KINDS {
        let count = all().filter(|item| item.kind == kind).count() as u64;
        if count > 0 {
            html.raw(if is_first { "" } else { ", " }).number(count).raw(" ").raw(word(kind));
            html.raw(if count == 1 || kind == Kind::Vex { "" } else { "s" });
            is_first = false;
        }
    }
    let main: Vec<&Item> = items().filter(|item| matches!(item.kind, Kind::Image | Kind::Chart)).collect();
    let names = [
        "<dt>Signature<dd>by the publisher, with ",
        "<dt>SBOM<dd>a list of components, with ",
        "<dt>VEX<dd>statements about vulnerabilities, with ",
    ];
    for (at, name) in names.into_iter().enumerate().filter(|_| !main.is_empty()) {
        let brought = |item: &Item| [item.signature, item.sbom, item.vex][at];
        let count = |wanted: Brought| main.iter().filter(|item| brought(item) == Some(wanted)).count() as u64;
        html.raw(name).raw(if contents.read { "<b>" } else { "<b>at least " }).number(count(Brought::Yes));
        html.raw(" of ").number(main.len() as u64).raw("</b> images and charts");
        let some = count(Brought::Some);
        if some > 0 {
            html.raw(", and with some platforms of ").number(some).raw(" more");
        }
    }
    html.raw("</dl><p class=hint>These are included, but were not checked here.</p>");
}

/// Writes the table.
pub fn table(html: &mut Html, contents: &Contents) {
    let items = || contents.repositories.iter().flat_map(|repository| &repository.items);
    let has_news = items().any(|item| item.news.is_some());
    let has_outcome = items().any(|item| item.outcome.is_some());
    html.raw("<table class=tree><thead><tr><th scope=col>Tags and digest<th scope=col class=k>Kind");
    html.raw("<th scope=col class=p>Platforms<th scope=col class=n>Carried<th scope=col class=s>Signature");
    html.raw("<th scope=col class=s>SBOM<th scope=col class=s>VEX");
    html.raw(if has_news { "<th scope=col class=s>Before" } else { "" });
    html.raw(if has_outcome { "<th scope=col class=p>Outcome" } else { "" }).raw("</thead>");
    let (mut shown, mut all) = (0, 0);
    let begins = html.len();
    for repository in &contents.repositories {
        all += count(&repository.items);
        let is_full = |html: &Html, shown: usize| html.len() - begins > MAX_BYTES || shown >= LISTED;
        if is_full(html, shown) {
            continue;
        }
        html.raw(match (has_news, has_outcome) {
            (false, false) => "<tbody><tr class=r><th colspan=7 scope=rowgroup>",
            (true, true) => "<tbody><tr class=r><th colspan=9 scope=rowgroup>",
            _ => "<tbody><tr class=r><th colspan=8 scope=rowgroup>",
        });
        html.text(&repository.name);
        for item in &repository.items {
            if is_full(html, shown) {
                break;
            }
            row(html, item, contents.read);
            shown += 1;
            for attached in &item.attached {
                if is_full(html, shown) {
                    break;
                }
                below(html, attached);
                shown += 1;
            }
        }
    }
    html.raw("</table>");
    if shown < all {
        html.raw("<p class=warn><strong>This list is cut.</strong> It shows ").number(shown as u64).raw(" of ");
        html.number(all as u64).raw(" artifacts; a report FILE.json lists all of them.");
    }
}

fn row(html: &mut Html, item: &Item, is_read: bool) {
    html.raw("<tr><th scope=row>");
    if item.tags.is_empty() {
        html.raw("<i>no tag</i>");
    }
    html.list(&item.tags, NAMES).raw("<code>").text(&item.digest).raw("</code>");
    if let Some(original) = &item.original {
        html.raw("<small>reduced to fewer platforms; before: <code>").text(original).raw("</code>. ");
        html.raw("What is pinned to that digest does not find this one; ");
        html.raw(if item.original_kept {
            "the index before is included too."
        } else {
            "signatures and SBOMs of the index before are not included."
        });
        html.raw("</small>");
    }
    if let Some(source) = &item.source {
        html.raw("<small>named by the exporter; it comes from <b>").text(source).raw("</b></small>");
    }
    html.raw("<td>").raw(word(item.kind));
    if let Some(stated) = item.stated.as_ref().filter(|_| item.kind == Kind::Artifact) {
        html.raw("<small>").text(stated).raw("</small>");
    }
    html.raw("<td>").list(&item.platforms, NAMES);
    if item.platforms.is_empty() && item.kind == Kind::Image {
        html.raw(if is_read { "unknown" } else { "?" });
    }
    if !item.left_out.is_empty() {
        html.raw("<small>not carried: ").list(&item.left_out, NAMES).raw("</small>");
    }
    if let Some(image) = &item.image {
        config(html, image);
    }
    html.raw("<td class=n>");
    match item.bytes {
        Some(bytes) => html.size(bytes),
        None => html.raw("?"),
    };
    if item.lacks > 0 {
        html.raw("<small>").number(item.lacks).raw(" blobs not included</small>");
    }
    for brought in [item.signature, item.sbom, item.vex] {
        html.raw(match brought {
            Some(Brought::Yes) => "<td>yes",
            Some(Brought::Some) => "<td>some platforms",
            Some(Brought::No) => "<td>no",
            None if matches!(item.kind, Kind::Image | Kind::Chart) => "<td>?",
            None => "<td>",
        });
    }
    last(html, item);
}

/// Writes the statements of an image's config.
fn config(html: &mut Html, image: &Image) {
    if let Some(created) = &image.created {
        html.raw("<small>made ").text(created).raw("</small>");
    }
    let labels: Vec<String> = image.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The last steps say what is special about it.
    let steps: Vec<String> = image.history.iter().rev().filter(|step| !step.is_empty()).cloned().collect();
    for (word, list) in [("labels: ", labels), ("last steps, newest first: ", steps)] {
        if !list.is_empty() {
            html.raw("<small>").raw(word).list(&list, FEW).raw("</small>");
        }
    }
}

fn below(html: &mut Html, item: &Item) {
    html.raw("<tr class=a><th scope=row>");
    html.raw(word(item.kind));
    // cosign's tags only repeat the subject's digest.
    if item.tags.iter().any(|tag| !tag.starts_with("sha256-")) {
        html.raw(", tag ").list(&item.tags, 2);
    }
    html.raw("<code>").text(&item.digest).raw("</code><td colspan=2>");
    html.text(item.stated.as_deref().unwrap_or_default()).raw("<td class=n>");
    if let Some(bytes) = item.bytes {
        html.size(bytes);
    }
    html.raw("<td colspan=3>");
    last(html, item);
}

fn last(html: &mut Html, item: &Item) {
    if let Some(news) = item.news {
        html.raw(match news {
            Novelty::New => "<td><b>NEW</b>",
            Novelty::Changed => "<td><b>CHANGED</b>",
            Novelty::Same => "<td>same",
        });
    }
    if let Some(outcome) = &item.outcome {
        html.raw("<td>").text(outcome);
    }
}
