//! Advice for a repository or project that must be made before it can be pushed to, by what the
//! registry's answer says.
//!
//! Only texts; an answer that no product gives away gets general advice.

use crate::registry::http::response::Answer;

/// Returns whether the answer says that the project of a repository does not exist, so that nothing
/// can be pushed there. That of a missing repository says nothing of the kind: many are made by a push.
pub(in crate::registry) fn lacks_project(answer: &Answer) -> bool {
    answer.says("NOT_FOUND") && answer.codes_and_messages().to_ascii_lowercase().contains("project")
}

/// Returns what to do about a push to `path` that `host` answered with 404.
pub(in crate::registry) fn advice(host: &str, path: &str, answer: &Answer) -> String {
    let text = answer.codes_and_messages().to_ascii_lowercase();
    // A repository path holds no character that a shell would read.
    if answer.says("NAME_UNKNOWN") && text.contains("does not exist in the registry with id") {
        return format!("make it first: aws ecr create-repository --repository-name {path}");
    }
    let project = path.split('/').next().unwrap_or(path);
    if lacks_project(answer) {
        return format!(
            "make the project first, in Harbor's page under Projects, or: curl -u USER -H 'Content-Type: application/json' \
             -d '{{\"project_name\":\"{project}\"}}' https://{host}/api/v2.0/projects"
        );
    }
    format!("if {host} does not create repositories on push, create it there first")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    fn advised(body: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = Answer { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body };
        advice("h.example:5000", "apps/web/ui", &answer)
    }

    #[test]
    fn each_product_is_known_by_its_answer() {
        let ecr = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'apps/web/ui' does not exist in the registry with id '123456789012'"}]}"#;
        assert_eq!(advised(ecr), "make it first: aws ecr create-repository --repository-name apps/web/ui");
        let harbor = r#"{"errors":[{"code":"NOT_FOUND","message":"project apps not found"}]}"#;
        assert!(advised(harbor).contains(r#"-d '{"project_name":"apps"}' https://h.example:5000/api/v2.0/projects"#));
        for other in ["", "<html>", r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#] {
            assert!(advised(other).starts_with("if h.example:5000 does not create"), "{other}");
        }
    }
}
