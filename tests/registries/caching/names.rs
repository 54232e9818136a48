//! Names by rules and by sources, and whose login goes where.

use packmule::decide::rules::Rule;
use packmule::serve::Settings;

use super::{Store, is_manifest, open, open_with, registries, start};
use crate::served::{Site, of_layout, route, serve_with};
use crate::upstream::{Mood, Upstream, rule};

#[test]
fn c2_c8_c11_names_by_rule_and_by_source_and_an_occupied_target() {
    let (upstream, site, held) = (Upstream::start(), Store::new(), Site::new());
    let (document, _) = upstream.image("org/app", &["9"], 10, 1);
    let up = format!("{}/*", upstream.host());
    let cache = open(&site.path(), vec![rule("up", &up, "up/*")], None);
    let server = start(&cache, vec![of_layout(&held.layout())]);
    is_manifest(&server.get("/v2/org/app/manifests/v1"), &held.app);
    is_manifest(&server.get("/v2/up/org/app/manifests/9"), &document);
    is_manifest(&server.get(&format!("/v2/org/app/manifests/9?ns={}", upstream.host())), &document);
    assert_eq!(
        server.get("/v2/_catalog").json()["repositories"],
        serde_json::json!(["library/base", "org/app", "up/org/app"])
    );
    drop((server, cache));
    // What a place holds from a rule's source is found under the rule's name.
    let other = Store::new();
    let rules = vec![rule("r", "reg.example/org/*", "mirror/*"), rule("hub", "docker.io/*", "hub/*")];
    let cache = open(&other.path(), rules, None);
    let server = start(&cache, vec![of_layout(&held.layout())]);
    is_manifest(&server.get("/v2/mirror/app/manifests/v1"), &held.app);
    assert_eq!(server.get("/v2/hub/base/manifests/1").status, 200, "library/");
    drop((server, cache));
    let third = Store::new();
    let cache = open(&third.path(), vec![rule("up", &up, "org/*")], None);
    let settings = Settings { threads: 2, ..Settings::default() };
    let refused = serve_with(vec![of_layout(&held.layout())], settings, route(&[], false), Some(cache)).err().unwrap();
    assert_eq!(refused.class, packmule::base::fault::Class::Policy);
    assert!(
        refused.what.contains("org/app") && refused.what.contains("\"up\"") && refused.what.contains("reg.example"),
        "{refused}"
    );
}

#[test]
fn c1_c7_a_credential_reaches_only_its_upstream() {
    let (private, public, site) = (Upstream::start(), Upstream::start(), Store::new());
    private.image("org/app", &["1"], 10, 1);
    public.image("org/app", &["1"], 10, 2);
    let own = Rule { credential: Some("own".into()), ..rule("private", &format!("{}/*", private.host()), "private/*") };
    let rules = vec![own, rule("public", &format!("{}/*", public.host()), "public/*")];
    let sources = [(None, registries(None)), (Some("own".to_owned()), registries(Some("canary-7781")))].into();
    let cache = open_with(&site.path(), rules, sources, None);
    // The private one asks for a login.
    private.set(Mood::Private);
    let server = start(&cache, Vec::new());
    for name in ["private/org/app", "public/org/app"] {
        let got = server.ask("GET", &format!("/v2/{name}/manifests/1"), &["Authorization: Basic Y2xpZW50OnNlY3JldA=="]);
        assert_eq!(got.status, 200);
        assert!(!format!("{:?}", got.headers).contains("7781"));
    }
    let page = String::from_utf8(server.get("/").body).unwrap();
    assert!(
        page.contains("Cache rules") && page.contains("private/*") && page.contains("own") && !page.contains("7781"),
        "C14: {page}"
    );
    assert!(page.contains("answered, "), "health");
    for request in public.server.all_requests().iter().chain(&private.server.all_requests()) {
        let sent = request.header("authorization").unwrap_or_default();
        assert!(!sent.contains("Y2xpZW50OnNlY3JldA"), "the client's own login stays here");
    }
    assert!(private.server.all_requests().iter().any(|request| request.header("authorization").is_some()));
    assert!(public.server.all_requests().iter().all(|request| request.header("authorization").is_none()));
}
