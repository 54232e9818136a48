//! Contract with the caller: pipelines, how their containers are opened, and how one bundle is
//! imported.

use std::sync::Arc;
use std::time::Duration;

use crate::base::fault::Fault;
use crate::bundle::Name;
use crate::oci::Digest;
use crate::state::runs::Id;
use crate::storage::Container;

/// An import pipeline, as far as a watcher knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Names the container. Pipelines with the same text share the pause after a failure.
    pub source: String,
    /// Names the destination. The ids of imported bundles count for this one only.
    pub target: String,
    /// Time between two looks.
    pub interval: Duration,
}

/// The end of one import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Id of the run, if a record was begun.
    pub run: Option<Id>,
    /// Id of the bundle that was opened.
    pub bundle: Option<Digest>,
    /// Its end.
    pub ended: Result<(), Fault>,
}

/// Opens containers and imports bundles.
pub trait Site {
    /// Opens the container of a pipeline. `None` if it is a directory that is not there now.
    ///
    /// # Errors
    /// Those of the container.
    fn open(&mut self, pipeline: &Pipeline) -> Result<Option<Arc<dyn Container>>, Fault>;

    /// Imports a bundle of the pipeline's container, with a run record of its own.
    fn import(&mut self, pipeline: &Pipeline, bundle: &Name) -> Ran;

    /// Tells the operator of an event: a line for people, and the same as JSON.
    fn tell(&mut self, line: &str, event: serde_json::Value);
}
