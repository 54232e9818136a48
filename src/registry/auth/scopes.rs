//! The permissions that a call needs, in the form that token servers expect.
//!
//! Requests no tokens.

use crate::oci::Repository;

/// Permissions that a call needs: the repository whose login is used, and the scopes of the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scopes {
    path: String,
    wants: Vec<(String, &'static str)>,
    /// Scopes that the registry asked for in addition, as it wrote them.
    challenged: Vec<String>,
}

/// Maximum length of the scopes of a challenge, in bytes.
const MAX_CHALLENGED: usize = 1024;

impl Scopes {
    /// Returns the scopes for reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull")], path, challenged: Vec::new() }
    }

    /// Returns the scopes for writing a repository.
    pub fn push(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull,push")], path, challenged: Vec::new() }
    }

    /// Returns the scopes for listing the repositories of a registry.
    pub fn catalog() -> Self {
        Self { path: String::new(), wants: Vec::new(), challenged: Vec::new() }
    }

    /// Returns the scopes for checking a login: no permissions.
    pub fn none() -> Self {
        Self { path: String::new(), wants: vec![(String::new(), "")], challenged: Vec::new() }
    }

    /// Adds the scopes for reading another repository of this registry.
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.wants.push((repository.path().to_owned(), "pull"));
        self.wants.sort();
        self
    }

    /// Returns these scopes together with those of a challenge, with `prefix` in front of every
    /// repository of ours; `None` if these include them already.
    pub fn with(&self, challenged: &str, prefix: &str) -> Option<Self> {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if challenged.len() > MAX_CHALLENGED {
            return None;
        }
        let mut wider = self.clone();
        wider.challenged.extend(challenged.split_ascii_whitespace().filter(|text| is_plain(text)).map(str::to_owned));
        (wider.texts(prefix) != self.texts(prefix)).then(|| {
            wider.challenged.sort();
            wider.challenged.dedup();
            wider
        })
    }

    /// Returns the path of the repository whose login is used.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the scopes in the format of token servers, each resource once, with `prefix` in
    /// front of every repository of ours.
    pub fn texts(&self, prefix: &str) -> Vec<String> {
        let catalog = self.wants.is_empty().then(|| "registry:catalog:*".to_owned());
        let wants = self.wants.iter().filter(|(path, _)| !path.is_empty());
        let own = wants.map(|(path, actions)| format!("repository:{prefix}{path}:{actions}"));
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for text in catalog.into_iter().chain(own).chain(self.challenged.iter().cloned()) {
            let (resource, actions) = text.rsplit_once(':').unwrap_or((&text, ""));
            let at = all.iter().position(|(known, _)| known == resource).unwrap_or_else(|| {
                all.push((resource.to_owned(), Vec::new()));
                all.len() - 1
            });
            let known = &mut all[at].1;
            for action in actions.split(',') {
                if !known.iter().any(|one| one == action) {
                    known.push(action.to_owned());
                }
            }
        }
        all.into_iter().map(|(resource, actions)| format!("{resource}:{}", actions.join(","))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenged_scopes_are_added_to_our_own() {
        let own = Scopes::pull(&Repository::new("h.example", "a/b").unwrap());
        assert_eq!(own.texts("p/"), ["repository:p/a/b:pull"]);
        let wider = own.with("repository:p/a/b:metadata_read,pull repository:other:pull", "p/").unwrap();
        assert_eq!(wider.texts("p/"), ["repository:p/a/b:pull,metadata_read", "repository:other:pull"]);
        assert_eq!(wider.path(), "a/b");
        for nothing_new in ["repository:p/a/b:pull", "", " ", "repository:x:\"", &"x".repeat(2000)] {
            assert_eq!(own.with(nothing_new, "p/"), None, "{nothing_new}");
        }
        assert_eq!(wider.with("repository:p/a/b:metadata_read", "p/"), None);
        assert_eq!(Scopes::catalog().with("registry:catalog:*", ""), None);
    }
}
