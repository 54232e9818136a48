//! The permissions that a call needs, in the form that token servers expect.
//!
//! Requests no tokens.

use crate::oci::Repository;

/// Permissions that a call needs: the repository whose login is used, and the scopes of the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scopes {
    path: String,
    wants: Vec<(String, &'static str)>,
}

impl Scopes {
    /// Returns the scopes for reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull")], path }
    }

    /// Returns the scopes for writing a repository.
    pub fn push(repository: &Repository) -> Self {
        let path = repository.path().to_owned();
        Self { wants: vec![(path.clone(), "pull,push")], path }
    }

    /// Returns the scopes for listing the repositories of a registry.
    pub fn catalog() -> Self {
        Self { path: String::new(), wants: Vec::new() }
    }

    /// Returns the scopes for checking a login: no permissions.
    pub fn none() -> Self {
        Self { path: String::new(), wants: vec![(String::new(), "")] }
    }

    /// Adds the scopes for reading another repository of this registry.
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.wants.push((repository.path().to_owned(), "pull"));
        self.wants.sort();
        self
    }

    /// Returns the path of the repository whose login is used.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the scopes in the format of token servers, with `prefix` in front of every
    /// repository.
    pub fn texts(&self, prefix: &str) -> Vec<String> {
        if self.wants.is_empty() {
            return vec!["registry:catalog:*".to_owned()];
        }
        let wants = self.wants.iter().filter(|(path, _)| !path.is_empty());
        wants.map(|(path, actions)| format!("repository:{prefix}{path}:{actions}")).collect()
    }
}
