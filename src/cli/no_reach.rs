//! How containers are reached by builds without a network: not at all.

/// No options.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Reach {}

impl Reach {
    /// Returns no options.
    #[cfg(feature = "carry")]
    pub const fn of(_: &super::network::Network) -> Self {
        Self {}
    }
}
