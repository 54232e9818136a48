//! What a call needs a login for, as token servers are asked for it.
//!
//! Pure: no token is asked for here.

use crate::oci::Repository;

/// What a call needs: the repository whose login counts, and the scopes of its token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scopes {
    path: String,
    wants: Vec<(String, &'static str)>,
}

impl Scopes {
    /// Returns what reading a repository needs.
    pub fn pull(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull")], path }
    }

    /// Returns what writing a repository needs.
    pub fn push(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull,push")], path }
    }

    /// Returns what listing a registry's repositories needs.
    pub fn catalog() -> Self {
        Self { path: String::new(), wants: Vec::new() }
    }

    /// Returns what being known needs: a login without rights.
    pub fn none() -> Self {
        Self { path: String::new(), wants: vec![(String::new(), "")] }
    }

    /// Adds what reading another repository of the same registry needs.
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.wants.push((repository.path().to_owned(), "pull"));
        self.wants.sort();
        self
    }

    /// Returns the path of the repository whose login counts.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the scopes as token servers read them; `prefix` stands before every repository there.
    pub fn texts(&self, prefix: &str) -> Vec<String> {
        if self.wants.is_empty() {
            return vec!["registry:catalog:*".to_owned()];
        }
        let wants = self.wants.iter().filter(|(path, _)| !path.is_empty());
        wants.map(|(path, actions)| format!("repository:{prefix}{path}:{actions}")).collect()
    }
}
