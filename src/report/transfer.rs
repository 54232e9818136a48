//! Parts of a page: where a bundle comes from and goes to, its place in its channel, and what is new
//! against its bases.

use super::markup::Html;
use super::{ENTRIES, News, Position, Transfer};

fn position(html: &mut Html, position: &Position) {
    html.raw("number ").number(position.sequence).raw(" (epoch ").number(position.epoch).raw(")");
}

/// Writes where a bundle comes from and goes to, and its place in its channel.
pub(super) fn from_to(html: &mut Html, transfer: &Transfer) {
    html.raw("<section><h2>Source and destination</h2><dl><dt>From<dd>");
    match &transfer.from {
        Some(from) => html.text(from),
        None => html.raw("<i>the bundle does not say</i>"),
    };
    html.raw("<dt>Named after<dd>").list(&transfer.registries, ENTRIES).raw("<dt>To<dd>");
    match &transfer.to {
        Some(to) => html.text(to),
        None => html.raw("<i>the bundle does not say</i>"),
    };
    html.raw("<dt>Ticket<dd>");
    match &transfer.ticket {
        Some(ticket) => html.raw("<b>").text(ticket).raw("</b>"),
        None => html.raw("<i>none</i>"),
    };
    html.raw("<dt>Made<dd>").moment(&transfer.created).raw("<dt>Expires<dd>");
    match &transfer.expires {
        Some(expires) => html.moment(expires),
        None => html.raw("<i>never</i>"),
    };
    html.raw("<dt>Channel<dd>");
    match (&transfer.channel, &transfer.position) {
        (Some(channel), Some(at)) => {
            html.text(channel).raw(", ");
            position(html, at);
            html.raw("<dt>Last accepted<dd>");
            match &transfer.last {
                Some(last) => {
                    position(html, last);
                    html.raw(" <code>").text(&last.id).raw("</code>");
                }
                None => {
                    html.raw("<i>none known here</i>");
                }
            }
        }
        _ => {
            html.raw("<i>none: bundles without a channel have no order</i>");
        }
    }
    if let Some(order) = &transfer.order {
        html.raw("<dt>Order<dd>").text(order);
    }
    if let Some(previous) = &transfer.previous {
        html.raw("<dt>Follows<dd><code>").text(previous).raw("</code>");
    }
    for base in transfer.bases.iter().take(ENTRIES) {
        html.raw("<dt>Relies on<dd><code>").text(base).raw("</code>");
    }
    for (key, note) in transfer.notes.iter().take(ENTRIES) {
        html.raw("<dt>Note: ").text(key).raw("<dd>").text(note);
    }
    html.raw("</dl>");
    if transfer.notes.len() > ENTRIES {
        html.raw("<p>and ").number((transfer.notes.len() - ENTRIES) as u64).raw(" more notes.</p>");
    }
    html.raw("</section>");
}

/// Writes what is new against the bases.
pub(super) fn novelties(html: &mut Html, news: &News) {
    html.raw("<section><h2>Changes</h2><ul>");
    for base in news.bases.iter().take(ENTRIES) {
        html.raw("<li>Against ").text(&base.name).raw(" <code>").text(&base.id).raw("</code> ");
        html.raw(if base.named {
            "(this bundle's signers name it)"
        } else {
            "(<strong>not authenticated</strong>: nothing proves that this bundle was delivered before)"
        });
    }
    html.raw("</ul><p><b>").number(news.new).raw("</b> names are new, <b>").number(news.changed.len() as u64);
    html.raw("</b> have changed, <b>").number(news.same).raw("</b> are unchanged.</p>");
    if !news.changed.is_empty() {
        html.raw("<table class=rows><thead><tr><th scope=col>Changed name<th scope=col>Before<th scope=col>Now");
        html.raw("</thead><tbody>");
        for changed in news.changed.iter().take(ENTRIES) {
            html.raw("<tr><th scope=row>").text(&changed.name).raw("<td><code>").text(&changed.was);
            html.raw("</code><td><code>").text(&changed.is).raw("</code>");
        }
        html.raw("</table>");
        if news.changed.len() > ENTRIES {
            html.raw("<p>and ")
                .number((news.changed.len() - ENTRIES) as u64)
                .raw(" more; the list of contents marks them.</p>");
        }
    }
    html.raw("</section>");
}
