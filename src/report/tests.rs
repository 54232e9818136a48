//! Rows M12 and G5 for pages: whatever a field contains, it adds no markup and no misleading
//! characters to a page.

use serde_json::Value;

use super::*;

/// Returns hostile text, each with a number to find it by.
fn evil(count: &mut u32) -> String {
    *count += 1;
    format!("m{count}.<script>alert(1)</script>&amp;\"'-->]]>\u{1b}[31m\u{202e}\u{200b}\u{0}\u{61c}\u{ad}\u{85}")
}

/// Returns a page with all members set, all of them to hostile text.
pub(crate) fn full(count: &mut u32) -> Page {
    let mut text = || evil(count);
    let attached = Item { tags: vec![text()], digest: text(), stated: Some(text()), ..Item::default() };
    let item = Item {
        tags: vec![text(), text()],
        digest: text(),
        stated: Some(text()),
        platforms: vec![text()],
        left_out: vec![text()],
        original: Some(text()),
        original_kept: true,
        source: Some(text()),
        image: Some(Image { created: Some(text()), labels: [(text(), text())].into(), history: vec![text()] }),
        bytes: Some(1),
        lacks: 2,
        signature: Some(Brought::Yes),
        sbom: Some(Brought::Some),
        vex: Some(Brought::No),
        news: Some(Novelty::Changed),
        outcome: Some(text()),
        attached: vec![attached],
        kind: Kind::Artifact,
    };
    let position = |id| Some(Position { epoch: 1, sequence: 2, id });
    Page {
        schema: Schema::V1,
        command: text(),
        verdict: Verdict::Pass,
        ok: true,
        exit: 0,
        summary: text(),
        written: text(),
        tool: text(),
        next: vec![text()],
        faults: vec![Fault { class: text(), message: text(), ..Fault::default() }],
        warnings: vec![text()],
        bundle: Some(Bundle {
            name: text(),
            id: Some(text()),
            authenticated: true,
            artifacts: Some(1),
            blobs: Some(2),
            bytes: Some(3),
            volumes: Some(4),
            tool: Some(text()),
        }),
        signatures: Some(Signatures {
            section: Some(text()),
            needed: 2,
            counted: 1,
            missing_roles: vec![text()],
            signers: vec![Signer {
                key: text(),
                holder: Some(text()),
                role: Some(text()),
                standing: Standing::Counted,
            }],
        }),
        differences: Some(Differences {
            old: text(),
            new: text(),
            scope: text(),
            same: Some(1),
            rows: vec![Differing { name: text(), kind: text(), old: Some(text()), new: Some(text()) }],
        }),
        transfer: Some(Transfer {
            from: Some(text()),
            registries: vec![text()],
            to: Some(text()),
            ticket: Some(text()),
            notes: [(text(), text())].into(),
            created: text(),
            expires: Some(text()),
            channel: Some(text()),
            position: position(text()),
            last: position(text()),
            order: Some(text()),
            previous: Some(text()),
            bases: vec![text()],
        }),
        contents: Some(Contents { read: true, repositories: vec![Repository { name: text(), items: vec![item] }] }),
        news: Some(News {
            bases: vec![Base { name: text(), id: text(), named: false }],
            new: 1,
            changed: vec![Changed { name: text(), was: text(), is: text() }],
            same: 2,
        }),
        absent: vec![Absent { reason: text(), why: text(), blobs: 1, bytes: 2, artifacts: vec![text()] }],
        checks: vec![Check { name: text(), result: Mark::Passed, detail: text() }],
        proven: vec![text()],
        unproven: vec![text()],
        handling: Some(text()),
        run: Some(text()),
        audit: Some(text()),
        text: vec![text()],
        document: None,
    }
}

/// Number of texts that the page does not show: the word for a reason, and the id of the bundle's
/// own position, which is shown as the bundle's.
const HIDDEN: usize = 2;

#[test]
fn m12_g5_no_field_reaches_the_page_raw() {
    let mut count = 0;
    let page = full(&mut count);
    let html = to_html(&page);
    // Only this program's own text is markup: there is no more of it than in a page of harmless
    // words.
    let body = html.split_once("</style>").unwrap().1;
    assert!(
        !html.contains("<script") && !html.contains("alert(1)</") && !body.contains("-->") && !html.contains("]]>")
    );
    let bad = html.chars().find(|c| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}' | '\u{61c}' | '\u{ad}')
    });
    assert_eq!(bad, None);
    let shown = (1..=count).filter(|mark| html.contains(&format!("m{mark}.")));
    let missing: Vec<u32> = (1..=count).filter(|mark| !html.contains(&format!("m{mark}."))).collect();
    // The id is shown in groups and also in one piece.
    assert_eq!(shown.count() + HIDDEN, count as usize, "{missing:?}");
    let escaped = html.matches("&lt;script&gt;").count();
    assert!(escaped >= count as usize - HIDDEN, "{escaped} of {count}");
    // Nothing is loaded, nothing runs, nothing is a link.
    for word in ["src=", "href=", "url(", "@import", "onload", "javascript:", "<a ", "<form", "<img", "<svg", "<iframe"]
    {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("default-src 'none'; style-src 'unsafe-inline'"));
}

#[test]
fn m12_json_holds_all_of_it_in_ascii() {
    let mut count = 0;
    let page = full(&mut count);
    let json = page.to_json();
    assert!(json.is_ascii() && json.starts_with(JSON_BEGINS));
    assert!(json.chars().all(|c| !c.is_control() || c == '\n'));
    let value: Value = serde_json::from_str(&json).unwrap();
    assert!(value["transfer"]["ticket"].as_str().unwrap().contains("\u{1b}[31m\u{202e}"));
}

#[test]
fn every_table_is_told_to_who_cannot_see_it() {
    let html = to_html(&full(&mut 0));
    assert!(html.contains("<html lang=en>") && html.contains("name=viewport"));
    assert_eq!(html.matches("<th").count() - html.matches("<thead").count(), html.matches(" scope=").count());
    assert_eq!(html.matches("<h1>").count(), 1);
    for (verdict, word) in [
        (Verdict::Pass, "PASS"),
        (Verdict::Part, "PART"),
        (Verdict::Refused, "REFUSED"),
        (Verdict::None, "NO VERDICT"),
        (Verdict::Done, "DONE"),
        (Verdict::Failed, "FAILED"),
    ] {
        let html = to_html(&Page { verdict, ..Page::default() });
        let (header, rest) = html.split_once("</header>").unwrap();
        // The verdict comes first, in words. Only a passed bundle has lines to sign on.
        assert!(header.split_once("<main>").unwrap().1.contains(word), "{verdict:?}");
        assert_eq!(rest.contains("Decision on paper"), verdict == Verdict::Pass, "{verdict:?}");
    }
}

/// Returns a page for a bundle with many artifacts, each with one or two platforms and an SBOM.
pub(crate) fn many(artifacts: usize) -> Page {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let repositories = (0..artifacts / 2).map(|n| Repository {
        name: format!("registry.example.org/department/team-{}/application-{n}", n % 50),
        items: vec![Item {
            tags: vec![format!("2026.{n}.1"), "stable".to_owned()],
            digest: digest(n),
            kind: Kind::Image,
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64/v8".to_owned()],
            bytes: Some(n as u64 * 1_234_567),
            signature: Some(Brought::No),
            sbom: Some(Brought::Yes),
            vex: Some(Brought::No),
            news: Some(Novelty::New),
            attached: vec![Item {
                digest: digest(n + artifacts),
                kind: Kind::Sbom,
                stated: Some("application/vnd.cyclonedx+json".to_owned()),
                bytes: Some(n as u64),
                news: Some(Novelty::New),
                ..Item::default()
            }],
            ..Item::default()
        }],
    });
    let contents = Contents { read: true, repositories: repositories.collect() };
    Page { verdict: Verdict::Pass, contents: Some(contents), ..Page::default() }
}

#[test]
fn a_page_of_5000_artifacts_has_less_than_2_mb_and_all_of_them() {
    let html = to_html(&many(5000));
    assert!(html.len() < 2_000_000, "{}", html.len());
    assert_eq!(html.matches("application-").count(), 2500);
    assert_eq!(html.matches("<code>sha256:").count(), 5000);
    assert!(!html.contains("This list is cut"));
}

#[test]
fn m12_a_page_has_an_end_whatever_a_bundle_holds() {
    let html = to_html(&many(60_000));
    assert!(html.len() < 2_000_000, "{}", html.len());
    assert!(html.contains("This list is cut") && html.contains("of 60000 artifacts"));
    let long = || "<".repeat(1000);
    let item = || Item { tags: vec![long(); 2000], platforms: vec![long(); 2000], ..Item::default() };
    let one = Repository { name: long(), items: vec![item(), item()] };
    let html = to_html(&Page {
        contents: Some(Contents { read: true, repositories: vec![one] }),
        transfer: Some(Transfer {
            notes: (0..5000).map(|n| (n.to_string(), "x".repeat(1000))).collect(),
            ..Transfer::default()
        }),
        faults: vec![Fault { class: "format".to_owned(), message: "<".repeat(1 << 20), ..Fault::default() }; 320],
        ..Page::default()
    });
    assert!(html.len() < 2_000_000, "{}", html.len());
}
