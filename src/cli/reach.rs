//! How containers are reached: the options of the commands that read bundles from them.

use super::network::Network;
use super::network::config::ConfigFiles;

/// How containers are reached.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Reach {
    #[command(flatten)]
    config: ConfigFiles,
    /// All options of a command that has more of them.
    #[arg(skip)]
    network: Option<Network>,
}

impl Reach {
    /// Returns how a command with these options reaches containers.
    pub fn of(network: &Network) -> Self {
        Self { config: ConfigFiles::default(), network: Some(network.clone()) }
    }

    /// Returns the options for opening containers.
    pub fn network(&self) -> Network {
        self.network.clone().unwrap_or_else(|| Network { config: self.config.clone(), ..Network::default() })
    }
}
