//! Identities, key vaults and their use at registries and containers, against a cloud on this machine whose services
//! enforce what the real ones do. Each test is named after its row.

mod identities;
mod logins;
mod vaults;

use super::cloud::Cloud;
use super::program::Ended;
use super::registry::{Home, silent_about};

const PLACE: &str = ".config/packmule/packmule.toml";

/// A home with a configuration, and the variables for it.
struct Site {
    home: Home,
    env: Vec<(String, String)>,
}

impl Site {
    fn new(cloud: &Cloud, config: &str) -> Self {
        let site = Self { home: Home::new(), env: cloud.env() };
        site.configure(config);
        site
    }

    fn configure(&self, config: &str) {
        self.home.write(PLACE, config);
    }

    fn run(&self, args: &[&str]) -> Ended {
        let env: Vec<_> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.home.run_with(args, "", &env)
    }

    /// Runs `credential check` and returns the steps: name, success, error.
    fn steps(&self, name: &str, code: i32) -> Vec<(String, bool, String)> {
        let ended = self.run(&["credential", "check", name, "--json", "--retries", "0"]);
        assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let steps = document["result"]["steps"].as_array().expect("steps");
        steps.iter().map(|step| (word(&step["step"]), step["ok"] == true, word(&step["error"]))).collect()
    }
}

fn silent(cloud: &Cloud, ended: &Ended) {
    for canary in cloud.state.lock().unwrap().canaries() {
        silent_about(ended, &canary);
    }
}

/// Names and success of steps.
fn brief(steps: &[(String, bool, String)]) -> Vec<(&str, bool)> {
    steps.iter().map(|(name, ok, _)| (name.as_str(), *ok)).collect()
}

fn application(cloud: &Cloud) -> String {
    format!("identity = {}\ncloud = {}\n", Cloud::application(), cloud.table())
}
