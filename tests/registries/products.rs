//! Row D1: differences between products; what goes in comes back, or the limit is named.

use packmule::content::{Destination, Error, Kind, Mounts, Referrers, Source, TagList};
use packmule::oci::{Descriptor, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, Client, anonymous, client, content, login, manifest, read};
use super::quirky::{Habits, Location, Quirky};
use super::server::{Server, reply};

const MIB: usize = 1 << 20;

fn image_config() -> (Bytes, Descriptor) {
    let config = Bytes(b"{}".to_vec());
    let descriptor = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
    (config, descriptor)
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

/// Pushes an image of `size` bytes, mounts it elsewhere, tags it and reads everything back.
fn carry(client: &Client, repository: &Repository, size: usize) -> Result<Document, Error> {
    let registries = &client.registries;
    let (config, config_descriptor) = image_config();
    let layer = content(size, 71);
    for (body, descriptor) in [(&config, &config_descriptor), (&layer, &layer.descriptor())] {
        registries.put_blob(repository, descriptor, body)?;
    }
    let document = manifest(&config_descriptor, &layer.descriptor(), None);
    registries.put_manifest(repository, &document)?;
    registries.set_tag(repository, &tag("v1"), &document)?;
    let reference = format!("{repository}:v1").parse().unwrap();
    let found = registries.resolve(&reference)?;
    assert_eq!(registries.document(repository, &found)?.raw(), document.raw());
    assert!(read(registries, repository, &layer.descriptor())? == layer.0);
    let other = Repository::new(repository.host(), &format!("{}-2", repository.path())).unwrap();
    if !registries.mount(&other, &layer.descriptor(), repository)? {
        registries.put_blob(&other, &layer.descriptor(), &layer)?;
    }
    assert!(read(registries, &other, &layer.descriptor())? == layer.0);
    Ok(document)
}

fn refer(client: &Client, repository: &Repository, subject: &Document, seed: u64) -> Result<Document, Error> {
    let (_, config) = image_config();
    let layer = content(40, seed);
    client.registries.put_blob(repository, &layer.descriptor(), &layer)?;
    let referrer = manifest(&config, &layer.descriptor(), Some(&subject.descriptor()));
    client.registries.put_manifest(repository, &referrer)?;
    let listed = Referrers::referrers(&client.registries, repository, subject.digest())?;
    assert!(listed.iter().any(|entry| entry.digest == referrer.digest()));
    Ok(referrer)
}

fn works(habits: Habits, size: usize) -> (Quirky, Client) {
    let registry = Quirky::start(habits);
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "made/app").unwrap();
    let subject = carry(&client, &repository, size).unwrap();
    for seed in [1, 2] {
        refer(&client, &repository, &subject, seed).unwrap();
    }
    assert_eq!(Referrers::referrers(&client.registries, &repository, subject.digest()).unwrap().len(), 2);
    (registry, client)
}

#[test]
fn d1_as_specified() {
    let (registry, _) = works(Habits::PLAIN, 5 * MIB);
    assert_eq!(registry.count("PATCH"), 0, "one PUT is enough");
    works(Habits { referrers: None, location: Location::Absolute, ..Habits::PLAIN }, 10);
    works(Habits { location: Location::Unsaid, ..Habits::PLAIN }, MIB);
}

#[test]
fn d1_ghcr_takes_four_mebibytes_at_most() {
    let habits = Habits { most_body: 4 * MIB, location: Location::State, ..Habits::PLAIN };
    let (registry, _) = works(habits, 9 * MIB + 5);
    assert_eq!(registry.count("PATCH"), 3);
}

#[test]
fn d1_ecr_takes_the_first_patch_for_all_and_makes_no_repository() {
    let habits = Habits { first_patch_is_all: true, put_refused: Some(405), made_only: true, ..Habits::PLAIN };
    let (registry, client) = works(habits, 9 * MIB);
    let sent = registry.server.requests();
    assert!(sent.iter().any(|request| request.method == "PATCH" && request.body.len() == 9 * MIB), "one chunk of all");
    let elsewhere = Repository::new(&registry.server.host, "app").unwrap();
    let layer = content(10, 5);
    let error = client.registries.put_blob(&elsewhere, &layer.descriptor(), &layer).unwrap_err();
    assert!(error.class == Kind::Absent && error.help.unwrap().contains("create it"), "{}", error.what);
    let rights = client.registries.rights().unwrap();
    assert_eq!(rights.may_push(&elsewhere).unwrap_err().class, Kind::Absent);
}

#[test]
fn d1_acr_has_a_limit_for_one_body_and_for_a_login() {
    let habits = Habits { most_body: 20 * MIB, longest_login: 6 << 10, ..Habits::PLAIN };
    works(habits, 21 * MIB);
    let registry = Quirky::start(Habits { fixed: Some((405, "UNSUPPORTED")), ..habits });
    stays(&registry);
}

#[test]
fn d1_artifactory_knows_no_put_of_content() {
    let (registry, _) = works(Habits { put_refused: Some(404), location: Location::Absolute, ..Habits::PLAIN }, MIB);
    assert!(registry.count("PATCH") > 0);
}

#[test]
fn d1_harbor_forgets_for_a_moment_and_fixes_tags() {
    works(Habits { lag: 1, referrers: Some(401), ..Habits::PLAIN }, 1000);
    stays(&Quirky::start(Habits { fixed: Some((412, "PRECONDITION")), ..Habits::PLAIN }));
    stays(&Quirky::start(Habits { fixed: Some((201, "")), ..Habits::PLAIN }));
}

#[test]
fn d1_nexus_forgets_for_a_moment() {
    works(Habits { lag: 3, ..Habits::PLAIN }, 1000);
    stays(&Quirky::start(Habits { fixed: Some((400, "Updating existing tag is not allowed")), ..Habits::PLAIN }));
}

#[test]
fn d1_quay_pages_by_opaque_links_and_takes_only_images() {
    let habits = Habits { page: 2, only_images: true, referrers: Some(400), ..Habits::PLAIN };
    let (registry, client) = works(habits, 1000);
    let repository = Repository::new(&registry.server.host, "made/app").unwrap();
    let layer = content(10, 6);
    client.registries.put_blob(&repository, &layer.descriptor(), &layer).unwrap();
    let (_, config) = image_config();
    let document = manifest(&config, &layer.descriptor(), None);
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        client.registries.set_tag(&repository, &tag(name), &document).unwrap();
    }
    let mut found = TagList::tags(&client.registries, &repository).unwrap();
    found.retain(|tag| names.contains(&tag.as_str()));
    assert_eq!(found.len(), 5);
    let strange = manifest(&layer.descriptor(), &layer.descriptor(), None);
    let error = client.registries.put_manifest(&repository, &strange).unwrap_err();
    assert!(error.class == Kind::Refused && error.what.contains("MANIFEST_INVALID"), "{error}");
    // For a referrer the error says that it is this artifact, and what to leave out.
    let referrer = manifest(&layer.descriptor(), &layer.descriptor(), Some(&document.descriptor()));
    let error = client.registries.put_manifest(&repository, &referrer).unwrap_err();
    let (what, help) = (error.what, error.help.unwrap());
    assert!(what.contains(&referrer.digest().to_string()) && what.contains(&document.digest().to_string()), "{what}");
    assert!(help.contains("--referrers none"), "{help}");
}

#[test]
fn d1_gitlab_gives_the_subject_for_its_fallback_tag() {
    let registry = Quirky::start(Habits { tags_are_digests: true, location: Location::State, ..Habits::PLAIN });
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "made/app").unwrap();
    let subject = carry(&client, &repository, 10).unwrap();
    assert!(Referrers::referrers(&client.registries, &repository, subject.digest()).unwrap().is_empty());
    let error = refer(&client, &repository, &subject, 9).unwrap_err();
    assert!(error.class == Kind::Refused && error.what.contains("names the subject itself"), "{error}");
}

#[test]
fn d1_zot_counts_within_the_chunk() {
    let habits = Habits {
        range_of_chunk: true,
        most_body: 4 * MIB,
        referrers: None,
        location: Location::State,
        ..Habits::PLAIN
    };
    let (registry, _) = works(habits, 9 * MIB);
    assert_eq!(registry.count("PATCH"), 3);
}

/// An existing tag must not move; setting it to the same digest does nothing.
fn stays(registry: &Quirky) {
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "made/fixed").unwrap();
    let first = carry(&client, &repository, 10).unwrap();
    let puts = registry.count("PUT");
    client.registries.set_tag(&repository, &tag("v1"), &first).unwrap();
    assert_eq!(registry.count("PUT"), puts, "d5: the same digest is left alone");
    let (_, config) = image_config();
    let other = manifest(&config, &config, None);
    client.registries.put_manifest(&repository, &other).unwrap();
    let error = client.registries.set_tag(&repository, &tag("v1"), &other).unwrap_err();
    assert_eq!(error.class, Kind::Policy, "{error}");
    assert!(error.what.contains("v1") && error.what.contains(&first.digest().to_string()), "{error}");
}

#[test]
fn d5_an_immutable_tag_that_is_denied_in_words() {
    stays(&Quirky::start(Habits { fixed: Some((403, "immutable")), ..Habits::PLAIN }));
    // Not every 403 is about the tag.
    let registry = Quirky::start(Habits { fixed: Some((403, "DENIED")), ..Habits::PLAIN });
    let client = anonymous();
    let repository = Repository::new(&registry.server.host, "made/denied").unwrap();
    carry(&client, &repository, 10).unwrap();
    let (_, config) = image_config();
    let error = client.registries.set_tag(&repository, &tag("v1"), &manifest(&config, &config, None)).unwrap_err();
    assert_eq!(error.class, Kind::Denied, "{error}");
}

#[test]
fn d4_blob_unknown_three_times_then_good() {
    let registry = Quirky::start(Habits { lag: 3, ..Habits::PLAIN });
    let client = anonymous();
    carry(&client, &Repository::new(&registry.server.host, "a/b").unwrap(), 100).unwrap();
}

#[test]
fn d10_whatever_a_mount_says_the_content_comes() {
    for mount in [202, 401, 403, 404, 500] {
        let registry = Quirky::start(Habits { mount, ..Habits::PLAIN });
        let client = anonymous();
        carry(&client, &Repository::new(&registry.server.host, "a/b").unwrap(), 100).unwrap();
        if mount == 202 {
            let sessions = registry.server.requests().iter().filter(|request| request.method == "POST").count();
            assert_eq!(sessions, 3, "its session is the one that is used");
        }
    }
}

#[test]
fn d10_a_mount_whose_token_is_refused() {
    let registry = Server::start(|request, _| {
        let host = request.header("host").unwrap_or_default().to_owned();
        if request.path.starts_with("/token") {
            let wants_source = request.path.contains("secret");
            return if wants_source { reply(403, "") } else { reply(200, r#"{"token":"t"}"#) };
        }
        if request.header("authorization").is_none() {
            return reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""));
        }
        reply(404, "")
    });
    let client = client(login("mule", "x"));
    let (to, from) = ("a/b", "a/secret");
    let repository = |path| Repository::new(&registry.host, path).unwrap();
    let mounted = client.registries.mount(&repository(to), &content(9, 9).descriptor(), &repository(from));
    assert!(!mounted.unwrap());
    // One token request names both repositories.
    let asked = registry.requests().into_iter().find(|request| request.path.contains("secret")).unwrap();
    assert!(asked.path.contains("a%2Fb%3Apull%2Cpush") && asked.path.contains("a%2Fsecret%3Apull"), "{}", asked.path);
}
