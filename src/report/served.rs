//! The page of a server: what it serves, from which bundles, and the line to pull each artifact
//! with common clients.
//!
//! Like a report, one file without scripts or external resources, for screens of any width and for
//! paper. All text is escaped by `markup`.

use super::contents::word;
use super::html::{HEAD, groups, signers};
use super::markup::Html;
use super::{Item, Kind, Repository, Signatures};

/// Maximum size of the list in bytes.
const MAX_BYTES: usize = 4_000_000;
/// Maximum number of rules.
const RULES: usize = 1_000;
/// Maximum number of names in one cell.
const NAMES: usize = 12;

/// Everything that a server serves.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Places that it is served from.
    pub places: Vec<ServedPlace>,
    /// Repositories under the names that they are served under.
    pub repositories: Vec<Repository>,
    /// Number of repositories in all, if not all of them are listed.
    pub more: usize,
}

/// A place that is served.
#[derive(Clone, Debug, Default)]
pub struct ServedPlace {
    /// Its name.
    pub name: String,
    /// Facts of a bundle.
    pub bundle: Option<ServedBundle>,
}

/// Facts of a bundle that is served. A known key has signed all of them.
#[derive(Clone, Debug, Default)]
pub struct ServedBundle {
    /// Its id.
    pub id: String,
    /// Time at which it was made.
    pub created: String,
    /// Time at which it expires.
    pub expires: Option<String>,
    /// Whether that time was over when it was opened.
    pub is_expired: bool,
    /// Channel, epoch and sequence number.
    pub channel: Option<(String, u64, u64)>,
    /// Who signed.
    pub signatures: Signatures,
}

/// A cache: its rules, and how their upstreams answer.
#[derive(Clone, Debug, Default)]
pub struct ServedCache {
    /// Rules.
    pub rules: Vec<ServedRule>,
    /// Number of bytes that are kept.
    pub bytes: Option<u64>,
    /// Whether nothing is fetched, and what is missing is listed.
    pub is_courier: bool,
}

/// A rule of a cache. Names its credential, and holds no secret.
#[derive(Clone, Debug, Default)]
pub struct ServedRule {
    /// Name.
    pub name: String,
    /// Source.
    pub source: String,
    /// Target.
    pub target: String,
    /// Name of the credential.
    pub credential: Option<String>,
    /// Time of the last good answer, if it was the last one.
    pub answered: Option<String>,
    /// Time and error of the last failure, if it was the last answer.
    pub failing: Option<(String, String)>,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    /// Host with its port, as in references.
    pub host: &'a str,
    /// Whether with TLS.
    pub is_tls: bool,
    /// Whether on a loopback address, where clients use plain HTTP without being told.
    pub is_loopback: bool,
}

/// Returns the page as HTML.
pub fn served_html(served: &Served, cache: Option<&ServedCache>, reached: &Reached<'_>) -> String {
    let mut html = Html::default();
    html.raw(HEAD).raw("<title>").text(reached.host).raw(" – packmule serve</title></head><body><main>");
    let items = served.repositories.iter().map(|repository| repository.items.len()).sum::<usize>() as u64;
    html.raw("<header><h1>Registry</h1><p>").text(reached.host).raw(" serves ");
    html.number((served.repositories.len() + served.more) as u64).raw(" repositories, ");
    html.number(items).raw(if served.more > 0 { " or more artifacts. " } else { " artifacts. " });
    html.raw("It can only be read.</p></header>");
    if !reached.is_tls && !reached.is_loopback {
        html.raw("<p class=warn>This server uses plain HTTP: docker, podman and others must be told that this is allowed.</p>");
    }
    for place in &served.places {
        origin(&mut html, place);
    }
    cache.iter().for_each(|cache| rules(&mut html, cache));
    html.raw("<section><h2>Contents</h2>");
    if served.repositories.is_empty() {
        html.raw("<p>Nothing is served.</p>");
    }
    let begins = html.len();
    let mut shown = 0;
    for repository in &served.repositories {
        if html.len() - begins > MAX_BYTES {
            break;
        }
        list(&mut html, repository, reached);
        shown += 1;
    }
    let hidden = served.repositories.len() - shown + served.more;
    if hidden > 0 {
        html.raw("<p class=warn><strong>This list is cut.</strong> ").number(hidden as u64);
        html.raw(" more repositories are served; <code>/v2/_catalog</code> lists all of them.</p>");
    }
    html.raw("</section><footer><p>Quoted text is from the content; misleading characters are shown as \\u{…}, and long text is cut. ");
    html.raw("<a href=/healthz>Health</a>, <a href=/metrics>metrics</a>.</p></footer></main></body></html>\n");
    html.finish()
}

fn origin(html: &mut Html, place: &ServedPlace) {
    html.raw("<section><h2>")
        .raw(if place.bundle.is_some() { "Bundle " } else { "Place " })
        .text(&place.name)
        .raw("</h2>");
    let Some(bundle) = &place.bundle else {
        html.raw("<p>Its content was not signed here; each blob is compared with its digest.</p></section>");
        return;
    };
    html.raw("<dl>");
    if let Some((channel, epoch, sequence)) = &bundle.channel {
        html.raw("<dt>Channel<dd>").text(channel).raw(", epoch ").number(*epoch).raw(", number ").number(*sequence);
    }
    html.raw("<dt>Made<dd>").moment(&bundle.created).raw("<dt>Expires<dd>");
    match &bundle.expires {
        Some(expires) => html.moment(expires),
        None => html.raw("never"),
    };
    html.raw("</dl>");
    if bundle.is_expired {
        html.raw("<p class=warn><strong>This bundle has expired.</strong> Ask its maker for a newer one.</p>");
    }
    html.raw("<h3>Bundle id</h3>");
    groups(html, &bundle.id);
    html.raw("</section>");
    signers(html, &bundle.signatures);
}

/// Writes the rules of a cache.
fn rules(html: &mut Html, cache: &ServedCache) {
    html.raw("<section><h2>Cache rules</h2><p>");
    html.raw(if cache.is_courier {
        "What a rule covers and is missing goes to the list for the next bundle; nothing is fetched."
    } else {
        "What a rule covers is fetched when it is pulled."
    });
    if let Some(bytes) = cache.bytes {
        html.raw(" Kept: ").size(bytes);
    }
    html.raw("</p>");
    if cache.rules.is_empty() {
        html.raw("<p>There are no rules.</p>");
    }
    for rule in cache.rules.iter().take(RULES) {
        html.raw("<article class=served><h3>").text(&rule.name).raw("</h3><div><dl><dt>Names<dd><code>");
        html.text(&rule.target).raw("</code><dt>Source<dd><code>").text(&rule.source).raw("</code><dt>Credential<dd>");
        match &rule.credential {
            Some(name) => html.text(name),
            None => html.raw("none"),
        };
        html.raw("<dt>Upstream<dd>");
        match (&rule.answered, &rule.failing) {
            (_, Some((at, error))) => {
                html.raw("<strong class=warn>failing</strong>, ").moment(at).raw(": ").text(error)
            }
            (Some(at), None) => html.raw("answered, ").moment(at),
            (None, None) => html.raw("not asked yet"),
        };
        html.raw("</dl></div></article>");
    }
    if cache.rules.len() > RULES {
        html.raw("<p>and ").number((cache.rules.len() - RULES) as u64).raw(" more rules</p>");
    }
    html.raw("</section>");
}

fn list(html: &mut Html, repository: &Repository, reached: &Reached<'_>) {
    html.raw("<article class=served><h3>").text(&repository.name).raw("</h3>");
    for item in &repository.items {
        html.raw("<div><dl><dt>");
        html.raw(if item.tags.is_empty() { "No tag" } else { "Tags" }).raw("<dd><b>").list(&item.tags, NAMES);
        html.raw("</b> <code>").text(&item.digest).raw("</code><dt>Kind<dd>").raw(word(item.kind));
        if let Some(stated) = item.stated.as_ref().filter(|_| item.kind == Kind::Artifact) {
            html.raw(" <small>").text(stated).raw("</small>");
        }
        if !item.platforms.is_empty() {
            html.raw("<dt>Platforms<dd>").list(&item.platforms, NAMES);
        }
        html.raw("<dt>Size<dd>");
        match item.bytes {
            Some(bytes) => html.size(bytes),
            None => html.raw("not determined"),
        };
        if !item.attached.is_empty() {
            html.raw("<dt>With it<dd><ul>");
            for one in item.attached.iter().take(NAMES) {
                html.raw("<li>").raw(word(one.kind)).raw(" <code>").text(&one.digest).raw("</code>");
            }
            html.raw("</ul>");
            if item.attached.len() > NAMES {
                html.raw("and ").number((item.attached.len() - NAMES) as u64).raw(" more");
            }
        }
        html.raw("</dl><details><summary>How to pull it</summary>");
        pulls(html, repository, item, reached);
        html.raw("</details></div>");
    }
    html.raw("</article>");
}

/// One way to pull: the client, its words before the reference, and the words after it.
type Way = (&'static str, &'static str, &'static str);

/// Writes the lines that pull an artifact.
fn pulls(html: &mut Html, repository: &Repository, item: &Item, reached: &Reached<'_>) {
    let is_plain = !reached.is_tls;
    let pick = |plain: Way, tls: Way| if is_plain { plain } else { tls };
    let skopeo = pick(
        ("skopeo", "skopeo copy --all --src-tls-verify=false docker://", " oci:image"),
        ("skopeo", "skopeo copy --all docker://", " oci:image"),
    );
    let oras = pick(("oras", "oras pull --plain-http ", ""), ("oras", "oras pull ", ""));
    let ways = match item.kind {
        Kind::Image => vec![
            ("docker", "docker pull ", ""),
            pick(("podman", "podman pull --tls-verify=false ", ""), ("podman", "podman pull ", "")),
            pick(("containerd", "ctr images pull --plain-http ", ""), ("containerd", "ctr images pull ", "")),
            skopeo,
            pick(
                ("oras", "oras copy --from-plain-http --to-oci-layout ", " image"),
                ("oras", "oras copy --to-oci-layout ", " image"),
            ),
        ],
        _ => vec![oras, skopeo],
    };
    html.raw("<dl class=pull>");
    if item.kind == Kind::Chart
        && let Some(tag) = item.tags.first()
    {
        html.raw("<dt>helm<dd><code>helm pull oci://").text(reached.host).raw("/").text(&repository.name);
        // helm writes the + of a version as _ in its tag.
        html.raw(" --version ")
            .text(&tag.replace('_', "+"))
            .raw(if is_plain { " --plain-http" } else { "" })
            .raw("</code>");
    }
    for (client, before, after) in ways {
        html.raw("<dt>").raw(client).raw("<dd><code>").raw(before).text(reached.host).raw("/").text(&repository.name);
        match item.tags.first() {
            Some(tag) => html.raw(":").text(tag),
            None => html.raw("@").text(&item.digest),
        };
        html.raw(after).raw("</code>");
    }
    html.raw("</dl>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(name: &str, item: Item) -> Served {
        let repositories = vec![Repository { name: name.to_owned(), items: vec![item] }];
        Served { repositories, ..Served::default() }
    }

    fn reached(is_tls: bool) -> Reached<'static> {
        Reached { host: "127.0.0.1:5000", is_tls, is_loopback: true }
    }

    #[test]
    fn each_kind_has_the_lines_of_its_clients() {
        let item = |kind| Item { tags: vec!["1.0_up".into()], digest: "sha256:00".into(), kind, ..Item::default() };
        let page = served_html(&served("a/b", item(Kind::Image)), None, &reached(false));
        for line in [
            "docker pull 127.0.0.1:5000/a/b:1.0_up<",
            "podman pull --tls-verify=false 127.0.0.1:5000/a/b:1.0_up<",
            "ctr images pull --plain-http 127.0.0.1:5000/a/b:1.0_up<",
            "skopeo copy --all --src-tls-verify=false docker://127.0.0.1:5000/a/b:1.0_up oci:image<",
            "oras copy --from-plain-http --to-oci-layout 127.0.0.1:5000/a/b:1.0_up image<",
        ] {
            assert!(page.contains(line), "{line}");
        }
        let page = served_html(&served("a/b", item(Kind::Chart)), None, &reached(true));
        assert!(page.contains("helm pull oci://127.0.0.1:5000/a/b --version 1.0+up<"), "{page}");
        assert!(page.contains("oras pull 127.0.0.1:5000/a/b:1.0_up<") && !page.contains("plain-http"), "{page}");
        let untagged = Item { digest: "sha256:00".into(), ..Item::default() };
        let page = served_html(&served("a", untagged), None, &reached(false));
        assert!(page.contains("oras pull --plain-http 127.0.0.1:5000/a@sha256:00<"), "{page}");
    }

    #[test]
    fn text_from_content_is_never_markup() {
        let evil = "<script>alert(1)</script>\u{202e}\"'&";
        let attached = vec![Item { digest: evil.into(), ..Item::default() }];
        let item = Item {
            tags: vec![evil.into()],
            digest: evil.into(),
            stated: Some(evil.into()),
            platforms: vec![evil.into()],
            attached,
            ..Item::default()
        };
        let mut served = served(evil, item);
        let bundle = ServedBundle {
            id: evil.into(),
            created: evil.into(),
            expires: Some(evil.into()),
            ..ServedBundle::default()
        };
        let channel = Some((evil.to_owned(), 1, 2));
        served.places = vec![ServedPlace { name: evil.into(), bundle: Some(ServedBundle { channel, ..bundle }) }];
        let page = served_html(&served, None, &Reached { host: evil, is_tls: false, is_loopback: false });
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
        assert!(page.matches("&lt;script&gt;").count() > 8);
    }

    #[test]
    fn a_long_list_is_cut() {
        let mut served = served("a", Item::default());
        served.repositories = vec![served.repositories[0].clone(); 20_000];
        let page = served_html(&served, None, &reached(false));
        assert!(page.len() < MAX_BYTES + 100_000 && page.contains("This list is cut."));
    }
}
