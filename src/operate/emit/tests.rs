//! Receipts to files, kind by kind.

use super::names::{self, Ambiguous};
use super::scheme::PlainHttp;
use super::{Emitted, Kind, Options, write};
use crate::base::fault::Class;
use crate::base::time::Moment;
use crate::decide::route::Place;
use crate::oci::{Digest, Repository, Tag};
use crate::receipt::{Arrival, Named, Outcome, Receipt, State};

/// Returns a receipt of an import into `place` that ended at `ended`; each artifact is an old name,
/// the new one, a tag or nothing, and content.
fn receipt(place: &str, ended: &str, artifacts: &[(&str, &str, &str, &str)]) -> Receipt {
    let page = include_str!("../../../spec/receipt.md");
    let example = page.split_once("```json example received.json\n").unwrap().1.split_once('\n').unwrap().0;
    let mut receipt = Receipt::parse(example.as_bytes()).unwrap();
    receipt.destination = place.to_owned();
    receipt.ended = Moment::parse(ended).unwrap();
    receipt.artifacts = artifacts.iter().map(|(old, new, tag, content)| arrival(old, new, tag, content)).collect();
    receipt
}

fn arrival(old: &str, new: &str, tag: &str, content: &str) -> Arrival {
    let digest = Digest::sha256(content.as_bytes());
    let named = |name| Named { name: Tag::new(name).unwrap(), outcome: State::Set, read_back: Some(digest) };
    Arrival {
        destination: Some(new.to_owned()),
        digest,
        outcome: Outcome::Pushed,
        read_back: Some(digest),
        reason: None,
        repository: Repository::exact(old).unwrap(),
        tags: (!tag.is_empty()).then(|| named(tag)).into_iter().collect(),
    }
}

const EARLY: &str = "2026-11-01T00:00:00Z";
const LATE: &str = "2026-12-01T00:00:00Z";

/// The usual import: every path below one prefix.
fn usual() -> Receipt {
    receipt(
        "reg.site:5000/mirror",
        EARLY,
        &[
            ("docker.io/library/alpine", "reg.site:5000/mirror/library/alpine", "3.20", "alpine"),
            ("docker.io/team/app", "reg.site:5000/mirror/team/app", "1", "app"),
            ("quay.io/org/tool", "reg.site:5000/mirror/org/tool", "v2", "tool"),
        ],
    )
}

fn emit(kind: Kind, receipts: &[Receipt]) -> Emitted {
    write(receipts, kind, &Options::default()).unwrap()
}

/// Returns the text of the only file, without its first line.
fn text(kind: Kind, receipts: &[Receipt]) -> String {
    let emitted = emit(kind, receipts);
    assert_eq!(emitted.files.len(), 1);
    body(kind, &emitted.files[0].text)
}

fn body(kind: Kind, text: &str) -> String {
    text.strip_prefix(&kind.mark()).expect("the mark is the first line").to_owned()
}

/// Returns the reasons of the names that are not mapped, by old name.
fn unmapped(emitted: &Emitted) -> Vec<(String, &'static str)> {
    emitted.unmapped.iter().map(|one| (one.source.to_string(), one.reason)).collect()
}

#[test]
fn a_tree_of_hosts_leads_to_the_prefix_and_nowhere_else() {
    let emitted = emit(Kind::Containerd, &[usual()]);
    let paths: Vec<&str> = emitted.files.iter().map(|file| &*file.path).collect();
    assert_eq!(paths, ["docker.io/hosts.toml", "quay.io/hosts.toml"]);
    for file in &emitted.files {
        let found: toml::Table = toml::from_str(&file.text).unwrap();
        assert_eq!(found["server"].as_str(), Some("https://reg.site:5000/v2/mirror"));
        assert_eq!(found["override_path"].as_bool(), Some(true));
        assert_eq!(found["capabilities"].as_array().unwrap().len(), 2);
        // containerd 1 refuses a file without hosts.
        let host = &found["host"].as_table().unwrap()["https://reg.site:5000/v2/mirror"];
        assert_eq!(host["override_path"].as_bool(), Some(true));
    }
    assert!(emitted.unmapped.is_empty());
}

#[test]
fn two_prefixes_are_two_addresses_and_other_paths_are_named() {
    let receipt = receipt(
        "reg.site",
        EARLY,
        &[
            ("docker.io/a/one", "reg.site/x/a/one", "1", "one"),
            ("docker.io/a/two", "reg.site/a/two", "1", "two"),
            ("docker.io/a/three", "reg.site/other/3", "1", "three"),
            // The address for a/two has something else under a/one.
            ("quay.io/a/one", "reg.site/a/one", "1", "other"),
            ("reg.site/in/side", "reg.site/m/in/side", "1", "side"),
            ("reg.site/same", "reg.site/same", "1", "same"),
        ],
    );
    let emitted = emit(Kind::Containerd, &[receipt]);
    let paths: Vec<&str> = emitted.files.iter().map(|file| &*file.path).collect();
    assert_eq!(paths, ["docker.io/hosts.toml", "quay.io/hosts.toml"]);
    let found: toml::Table = toml::from_str(&emitted.files[0].text).unwrap();
    assert_eq!(found["server"].as_str(), Some("https://reg.site/v2/x"));
    let hosts = found["host"].as_table().unwrap();
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["https://reg.site/v2", "https://reg.site/v2/x"]);
    assert_eq!(hosts["https://reg.site/v2"]["override_path"].as_bool(), Some(true));
    let names: Vec<String> = unmapped(&emitted).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["docker.io/a/one", "docker.io/a/three", "reg.site/in/side"]);
    assert_ne!(unmapped(&emitted)[0].1, unmapped(&emitted)[1].1);
}

#[test]
fn k3s_rewrites_all_paths_by_one_rule_or_each_by_its_own() {
    let one = text(Kind::K3s, &[usual()]);
    assert!(one.contains("  \"docker.io\":\n    endpoint:\n      - \"https://reg.site:5000\"\n    rewrite:\n      '^(.*)$': 'mirror/$1'\n"), "{one}");
    let bare = receipt("reg.site", EARLY, &[("quay.io/a/b", "reg.site/a/b", "1", "b")]);
    assert!(!text(Kind::K3s, &[bare]).contains("rewrite"));
    let mixed = receipt(
        "reg.site",
        EARLY,
        &[
            ("quay.io/a/b.c", "reg.site/x/b", "1", "b"),
            ("quay.io/a/d", "reg.site/a/d", "1", "d"),
            ("reg.site/q", "reg.site/m/q", "1", "q"),
        ],
    );
    let emitted = emit(Kind::K3s, &[mixed]);
    let found = body(Kind::K3s, &emitted.files[0].text);
    assert!(
        found.contains("      '^a/b\\.c$': 'x/b'\n      '^a/d$': 'a/d'\n") && !found.contains("\"reg.site\":"),
        "{found}"
    );
    assert_eq!(unmapped(&emitted)[0].0, "reg.site/q");
}

#[test]
fn registries_conf_blocks_the_old_place_of_each_repository() {
    let plain = Options { plain_http: PlainHttp { hosts: vec!["reg.site:5000".into()] }, ..Options::default() };
    for (options, insecure) in [(Options::default(), false), (plain, true)] {
        let emitted = write(&[usual()], Kind::RegistriesConf, &options).unwrap();
        let found: toml::Table = toml::from_str(&emitted.files[0].text).unwrap();
        let tables = found["registry"].as_array().unwrap();
        assert_eq!(tables.len(), 3);
        assert_eq!(tables[0]["prefix"].as_str(), Some("docker.io/library/alpine"));
        assert_eq!((&tables[0]["location"], tables[0]["blocked"].as_bool()), (&tables[0]["prefix"], Some(true)));
        let mirrors = tables[0]["mirror"].as_array().unwrap();
        assert_eq!(mirrors[0]["location"].as_str(), Some("reg.site:5000/mirror/library/alpine"));
        assert_eq!(mirrors[0].get("insecure").is_some(), insecure);
    }
}

#[test]
fn a_new_name_that_is_an_old_one_is_named_and_left_out() {
    let receipt = receipt(
        "reg.site",
        EARLY,
        &[("docker.io/a/b", "reg.site/a/b", "1", "b"), ("reg.site/a", "reg.site/z/a", "1", "a")],
    );
    for kind in [Kind::RegistriesConf, Kind::Idms, Kind::Itms] {
        let emitted = emit(kind, std::slice::from_ref(&receipt));
        assert_eq!(unmapped(&emitted).len(), 1, "{kind:?}");
        assert_eq!(unmapped(&emitted)[0].0, "docker.io/a/b");
        assert!(!emitted.files[0].text.contains("docker.io"), "{kind:?}");
    }
    let exact = self::receipt(
        "reg.site",
        EARLY,
        &[("docker.io/a/b", "reg.site/a/b", "1", "b"), ("reg.site/a/b", "reg.site/z/b", "1", "a")],
    );
    let emitted = emit(Kind::Kustomize, &[exact]);
    assert_eq!(unmapped(&emitted)[0].0, "docker.io/a/b");
    assert!(!emitted.files[0].text.contains("docker.io") && emitted.files[0].text.contains("reg.site/z/b"));
}

/// The pattern that the definitions of both sets have for mirrors, and that of hosts and
/// repositories for sources.
const NAME: &str = r"^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$";

#[test]
fn sets_of_openshift_have_the_fields_of_their_definitions() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Object {
        api_version: String,
        kind: String,
        metadata: Metadata,
        spec: Spec,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Metadata {
        name: String,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Spec {
        image_digest_mirrors: Option<Vec<Mirrors>>,
        image_tag_mirrors: Option<Vec<Mirrors>>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[allow(clippy::struct_field_names, reason = "the names of the definitions")]
    struct Mirrors {
        source: String,
        mirrors: Vec<String>,
        mirror_source_policy: String,
    }
    let mut receipt = usual();
    receipt.artifacts.push(arrival("quay.io/only/digest", "reg.site:5000/mirror/only/digest", "", "d"));
    receipt.artifacts.push(arrival("[::1]:5000/six", "reg.site:5000/mirror/six", "1", "six"));
    let pattern = regex::Regex::new(NAME).unwrap();
    for (kind, count) in [(Kind::Idms, 4), (Kind::Itms, 3)] {
        let emitted = emit(kind, std::slice::from_ref(&receipt));
        assert_eq!(unmapped(&emitted)[0].0, "[::1]:5000/six");
        let found: Object = serde_saphyr::from_str(&emitted.files[0].text).unwrap();
        assert_eq!((&*found.api_version, &*found.metadata.name), ("config.openshift.io/v1", "packmule"));
        let list = match (&*found.kind, found.spec.image_digest_mirrors, found.spec.image_tag_mirrors) {
            ("ImageDigestMirrorSet", Some(list), None) if kind == Kind::Idms => list,
            ("ImageTagMirrorSet", None, Some(list)) if kind == Kind::Itms => list,
            other => panic!("{}", other.0),
        };
        assert_eq!(list.len(), count, "{kind:?}");
        for one in &list {
            assert!(pattern.is_match(&one.source) && one.mirrors.iter().all(|name| pattern.is_match(name)));
            assert_eq!((&*one.mirror_source_policy, one.mirrors.len()), ("NeverContactSource", 1));
        }
        assert_eq!(
            (&*list[0].source, &*list[0].mirrors[0]),
            ("docker.io/library/alpine", "reg.site:5000/mirror/library/alpine")
        );
    }
}

#[test]
fn kustomize_knows_every_spelling_of_docker_io() {
    let found = text(Kind::Kustomize, &[usual()]);
    let name = |old: &str, new: &str| format!("  - name: \"{old}\"\n    newName: \"reg.site:5000/mirror/{new}\"\n");
    for old in ["alpine", "docker.io/alpine", "library/alpine", "docker.io/library/alpine"] {
        assert!(found.contains(&name(old, "library/alpine")), "{old}: {found}");
    }
    assert!(found.contains(&name("team/app", "team/app")) && found.contains(&name("quay.io/org/tool", "org/tool")));
    assert!(!found.contains("name: \"org/tool\""), "{found}");
}

#[test]
fn a_list_pins_every_name_and_leaves_out_what_carries_referrers() {
    let alpine = Digest::sha256(b"alpine");
    let mut receipt = receipt(
        "reg.site",
        EARLY,
        &[("docker.io/library/alpine", "reg.site/library/alpine", "3", "alpine"), ("q.io/d", "reg.site/d", "", "d")],
    );
    let signature = format!("sha256-{}.sig", alpine.hex());
    receipt.artifacts.push(arrival("docker.io/library/alpine", "reg.site/library/alpine", &signature, "sig"));
    let fallback = Tag::referrers_fallback(alpine);
    receipt.artifacts.push(arrival("docker.io/library/alpine", "reg.site/library/alpine", fallback.as_str(), "list"));
    let found = text(Kind::Images, &[receipt]);
    let d = Digest::sha256(b"d");
    let wanted = format!("docker.io/library/alpine:3=reg.site/library/alpine:3@{alpine}\nq.io/d@{d}=reg.site/d@{d}\n");
    assert_eq!(found, wanted);
}

#[test]
fn values_have_one_registry_only_where_all_paths_stay() {
    let one = text(Kind::HelmValues, &[usual()]);
    assert!(one.contains("  imageRegistry: \"reg.site:5000/mirror\"\n"), "{one}");
    assert!(one.contains("    \"docker.io/library/alpine:3.20\":\n      registry: \"reg.site:5000/mirror\"\n      repository: \"library/alpine\"\n      tag: \"3.20\"\n"), "{one}");
    let mixed = receipt(
        "reg.site",
        EARLY,
        &[("quay.io/a/b", "reg.site/x/b", "1", "b"), ("quay.io/a/d", "reg.site/a/d", "1", "d")],
    );
    let two = text(Kind::HelmValues, &[mixed]);
    assert!(
        !two.contains("imageRegistry") && two.contains("registry: \"reg.site\"\n      repository: \"x/b\""),
        "{two}"
    );
}

#[test]
fn a_later_import_wins_in_whatever_order_receipts_are_given() {
    let name = ("docker.io/team/app", "reg.site:5000/mirror/team/app");
    let later = receipt(
        "reg.site:5000/mirror",
        LATE,
        &[(name.0, name.1, "1", "newer"), ("quay.io/org/tool", "reg.site:5000/mirror/org/tool", "v3", "tool 3")],
    );
    let expected = text(Kind::Images, &[usual(), later.clone()]);
    assert_eq!(text(Kind::Images, &[later.clone(), usual()]), expected);
    let newer = Digest::sha256(b"newer");
    assert!(expected.contains(&format!("{}:1={}:1@{newer}\n", name.0, name.1)), "{expected}");
    // What the tag named before is still there by its digest.
    let app = Digest::sha256(b"app");
    assert!(expected.contains(&format!("{}@{app}={}@{app}\n", name.0, name.1)), "{expected}");
    for all in ["alpine:3.20=", "org/tool:v2=", "org/tool:v3="] {
        assert!(expected.contains(all), "{all}");
    }
    // Mirrors do not change when only content does.
    assert_eq!(text(Kind::K3s, &[usual(), later]), text(Kind::K3s, &[usual()]));
}

#[test]
fn another_place_later_leaves_out_what_only_the_first_has() {
    let moved = receipt("reg.site:5000/new", LATE, &[("docker.io/team/app", "reg.site:5000/new/team/app", "2", "two")]);
    let emitted = emit(Kind::Images, &[usual(), moved]);
    let found = &emitted.files[0].text;
    assert!(found.contains("=reg.site:5000/new/team/app:2@") && !found.contains("mirror/team/app"), "{found}");
    assert_eq!(emitted.elsewhere.len(), 1);
    assert_eq!(emitted.elsewhere[0].destination.to_string(), "reg.site:5000/mirror/team/app");
}

#[test]
fn only_what_was_read_back_counts() {
    let mut receipt = usual();
    receipt.artifacts[0].outcome = Outcome::Failed;
    receipt.artifacts[1].outcome = Outcome::Unread;
    receipt.artifacts[2].tags[0].outcome = State::Kept;
    receipt.artifacts[2].tags[0].read_back = None;
    let emitted = emit(Kind::Images, std::slice::from_ref(&receipt));
    let tool = Digest::sha256(b"tool");
    let only = format!("quay.io/org/tool@{tool}=reg.site:5000/mirror/org/tool@{tool}\n");
    assert_eq!(body(Kind::Images, &emitted.files[0].text), only);
    assert_eq!(emitted.unarrived.len(), 2);
    // An earlier import brought them.
    receipt.ended = Moment::parse(LATE).unwrap();
    let both = emit(Kind::Images, &[receipt.clone(), usual()]);
    assert!(both.unarrived.is_empty() && both.files[0].text.contains("alpine:3.20="));
    // The tag that was kept names something else now.
    assert!(!both.files[0].text.contains("org/tool:v2"));
    receipt.artifacts.truncate(2);
    let none = write(&[receipt], Kind::Images, &Options::default()).unwrap_err();
    assert_eq!(none.class, Class::Source);
}

#[test]
fn a_tag_that_another_repository_took_is_left_out() {
    let took =
        receipt("reg.site:5000/mirror", LATE, &[("quay.io/team/app", "reg.site:5000/mirror/team/app", "1", "q")]);
    let found = text(Kind::Images, &[usual(), took]);
    assert!(found.contains("quay.io/team/app:1=") && !found.contains("docker.io/team/app:1="), "{found}");
}

#[test]
fn the_registry_may_be_called_something_else() {
    let to = |text: &str| Options { to: Some(Place::registry(text).unwrap()), ..Options::default() };
    let named = |receipt: Receipt, to: &Options| {
        write(&[receipt], Kind::Images, to).map(|emitted| emitted.files[0].text.clone())
    };
    assert!(named(usual(), &to("pull.site/m")).unwrap().contains("=pull.site/m/library/alpine:3.20@"));
    assert!(named(usual(), &to("pull.site")).unwrap().contains("=pull.site/library/alpine:3.20@"));
    let mut layout = usual();
    layout.destination = "oci:site".to_owned();
    for one in &mut layout.artifacts {
        one.destination = Some(one.repository.to_string());
    }
    assert_eq!(named(layout.clone(), &Options::default()).unwrap_err().class, Class::Usage);
    assert!(named(layout.clone(), &to("pull.site")).unwrap().contains("docker.io/team/app:1=pull.site/team/app:1@"));
    layout.artifacts.push(arrival("quay.io/team/app", "quay.io/team/app", "1", "other"));
    assert_eq!(named(layout, &to("pull.site")).unwrap_err().class, Class::Policy);
    // A receipt whose names are not below its destination is no receipt of packmule's.
    let mut wrong = usual();
    wrong.destination = "reg.site:5000/other".to_owned();
    assert_eq!(named(wrong, &to("pull.site")).unwrap_err().class, Class::Format);
    let mut evil = usual();
    evil.artifacts[0].destination = Some("reg.site/a\"\nserver = \"x".to_owned());
    assert_eq!(named(evil, &Options::default()).unwrap_err().class, Class::Format);
}

#[test]
fn names_without_a_host_that_several_have_are_listed() {
    let mut receipt = usual();
    receipt.artifacts.push(arrival("ghcr.io/team/app", "reg.site:5000/mirror/g/app", "1", "g"));
    receipt.artifacts.push(arrival("quay.io/alpine", "reg.site:5000/mirror/q/alpine", "1", "q"));
    let found = names::of(&[receipt], None).unwrap().ambiguous();
    let name = |text: &str| Repository::exact(text).unwrap();
    let alpine = vec![name("docker.io/library/alpine"), name("quay.io/alpine")];
    let app = vec![name("docker.io/team/app"), name("ghcr.io/team/app")];
    assert_eq!(
        found,
        [
            Ambiguous { name: "alpine".into(), repositories: alpine },
            Ambiguous { name: "team/app".into(), repositories: app }
        ]
    );
    assert!(names::of(&[usual()], None).unwrap().ambiguous().is_empty());
}

#[test]
fn kinds_have_the_names_that_they_are_called_by() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of(kind.name()), Some(kind));
        assert!(emit(kind, &[usual()]).files.iter().all(|file| file.text.starts_with(&kind.mark())));
    }
    assert_eq!(Kind::of("x"), None);
}
