//! `pipeline watch`: imports bundles as they arrive.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::base::fault::{Description, Fault, differs};
use crate::bundle::Name;
use crate::cli::Session;
use crate::cli::args::place::Destination;
use crate::cli::network::Network;
use crate::cli::network::config::Config;
use crate::cli::network::config::pipelines::{Import, Place};
use crate::cli::output::Outcome;
use crate::cli::pipelines::{import, place};
use crate::cli::progress::Mode;
use crate::cli::reach::Reach;
use crate::flow::{Flow, start_one};
use crate::operate::watch::{Board, Looked, Pipeline, Ran, Site, StatusPages, Watcher};
use crate::serve::StatusServer;
use crate::state::Store;
use crate::storage::Container;

/// `pipeline watch [N]...`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Import pipeline to watch; repeatable [default: all import pipelines with trigger = true]
    #[arg(value_name = "N")]
    names: Vec<String>,
    /// Look once at each container, import what is complete, and end
    #[arg(long)]
    once: bool,
    /// Address for health, metrics and a status page, without a login; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "once")]
    listen: Option<String>,
    #[command(flatten)]
    network: Box<Network>,
}

impl Args {
    /// Runs the command until a signal ends it, or after one look.
    ///
    /// # Errors
    /// Class usage before any work; class io for an address that cannot be used; after one look, the
    /// faults of containers and imports.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = Reach::of(&self.network);
        let config = self.network.config.load(session.world)?;
        let imports = self.imports(&config)?;
        let store = session.store().ok_or_else(|| {
            Fault::usage(differs("watch", "a directory for the state", "none"), "name one with --state DIR")
        })?;
        let pipelines: Vec<Pipeline> = imports.iter().map(|import| pipeline(import, session)).collect();
        let board = Arc::new(Board::new(&pipelines));
        let server = self.listen.as_deref().map(|address| bind(address, &board, &store, session)).transpose()?;
        let flow = session.flow.clone();
        let mut watcher = Watcher::new(&store, &board, &flow);
        let mut site = CommandSite { imports, network: &self.network, session };
        if self.once {
            return Ok(told(watcher.once(&pipelines, &mut site)));
        }
        site.listening(server.as_ref(), pipelines.len());
        serve_while(server.as_ref(), &flow, || watcher.run(&pipelines, &mut site))?;
        let names: Vec<&str> = pipelines.iter().map(|one| one.name.as_str()).collect();
        Ok(Outcome::new(String::new(), json!({ "pipelines": names })).stopped())
    }

    /// Returns the pipelines to watch.
    fn imports(&self, config: &Config) -> Result<Vec<Import>, Fault> {
        let all = &config.imports;
        if self.names.is_empty() {
            let triggered: Vec<Import> = all.values().filter(|import| import.trigger).cloned().collect();
            return if triggered.is_empty() {
                let what = differs("watch", "an import pipeline with trigger = true", "none");
                Err(Fault::usage(what, "add [import.N] to the configuration, or name the file with --config"))
            } else {
                Ok(triggered)
            };
        }
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        let find = |name: &String| {
            let import = all.get(name.strip_prefix("import.").unwrap_or(name)).cloned();
            import.ok_or_else(|| {
                let what = differs(format_args!("watch {name:?}"), "an import pipeline", "none of that name");
                let help = if known.is_empty() {
                    "add [import.N] to the configuration, or name the file with --config".to_owned()
                } else {
                    format!("the configuration has {}", known.join(", "))
                };
                Fault::usage(what, help)
            })
        };
        let mut names = self.names.clone();
        names.sort();
        names.dedup();
        names.iter().map(find).collect()
    }
}

fn pipeline(import: &Import, session: &Session<'_>) -> Pipeline {
    Pipeline {
        name: format!("import.{}", import.name),
        source: match &import.place {
            Place::Storage(_) => import.place.to_string(),
            Place::Directory(dir) => session.path(dir).display().to_string(),
        },
        target: match &import.destination {
            Destination::Layout(dir) => format!("oci:{}", session.full_path(dir).display()),
            Destination::Registry { .. } => import.to.clone(),
        },
        interval: import.interval,
    }
}

/// Binds the address of the status.
fn bind(typed: &str, board: &Arc<Board>, store: &Store, session: &Session<'_>) -> Result<StatusServer, Fault> {
    let wrong = |what: Description| {
        Fault::usage(what.within(format_args!("--listen {typed}")), "write ADDRESS:PORT, for example 127.0.0.1:9090")
    };
    let all: Vec<SocketAddr> = typed.to_socket_addrs().map_err(|error| wrong(error.to_string().into()))?.collect();
    let first = all.first().copied().ok_or_else(|| wrong(differs("", "an address", "none")))?;
    if !all.iter().all(|address| address.ip().is_loopback()) {
        session.flow.warn(format!(
            "--listen {typed}: whoever reaches this address sees names and errors; no login is asked for"
        ));
    }
    let pages = StatusPages { board: Arc::clone(board), runs: store.runs(), flow: session.flow.clone() };
    StatusServer::bind(first, Arc::new(pages))
}

/// Runs `work`, and answers requests until it has ended.
fn serve_while(server: Option<&StatusServer>, flow: &Flow, work: impl FnOnce()) -> Result<(), Fault> {
    let Some(server) = server else {
        work();
        return Ok(());
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pages = start_one(scope, || {
            if let Err(fault) = &server.run(&|| is_over.load(Ordering::Relaxed)) {
                // Imports go on without the page.
                flow.warn(fault.what.clone());
            }
        })?;
        work();
        is_over.store(true, Ordering::Relaxed);
        // A panic there is counted where all panics are.
        let _ = pages.join();
        Ok(())
    })
}

/// Returns the outcome of one look at each pipeline.
fn told((looks, faults): (Vec<(String, Looked)>, Vec<Fault>)) -> Outcome {
    let line = |(name, looked): &(String, Looked)| {
        let Looked { imported, failed, aside, arriving, settled, is_absent } = looked;
        if *is_absent {
            return format!("{name}  the directory is not there\n");
        }
        format!(
            "{name}  {imported} imported, {failed} failed, {aside} failed before, {arriving} incomplete, {settled} known\n"
        )
    };
    let value = |(name, looked): &(String, Looked)| {
        json!({
            "pipeline": name, "imported": looked.imported, "failed": looked.failed, "failed_before": looked.aside,
            "incomplete": looked.arriving, "known": looked.settled, "absent": looked.is_absent,
        })
    };
    let all: Vec<Value> = looks.iter().map(value).collect();
    let outcome = Outcome::new(looks.iter().map(line).collect::<String>(), json!({ "pipelines": all }));
    match Fault::from_list(faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    }
}

/// Opens containers and imports bundles as the configuration says.
struct CommandSite<'a, 'b> {
    imports: Vec<Import>,
    network: &'a Network,
    session: &'a mut Session<'b>,
}

impl CommandSite<'_, '_> {
    fn of(&self, pipeline: &Pipeline) -> Result<&Import, Fault> {
        let name = pipeline.name.strip_prefix("import.").unwrap_or(&pipeline.name);
        let found = self.imports.iter().find(|import| import.name == name);
        found.ok_or_else(|| {
            Fault::usage(differs(format_args!("pipeline {name}"), "one", "none"), "start the watcher again")
        })
    }

    fn listening(&mut self, server: Option<&StatusServer>, pipelines: usize) {
        let address = server.map(|server| format!("http://{}/", server.address()));
        let status = address.as_ref().map(|address| format!(", status on {address}")).unwrap_or_default();
        let event = json!({ "event": "watching", "pipelines": pipelines, "address": address });
        self.tell(&format!("watching {pipelines} pipelines{status}"), event);
    }
}

fn is_there(place: &Place, session: &Session<'_>) -> bool {
    match place {
        Place::Storage(_) => true,
        Place::Directory(dir) => session.path(dir).is_dir(),
    }
}

impl Site for CommandSite<'_, '_> {
    fn open(&mut self, pipeline: &Pipeline) -> Result<Option<Arc<dyn Container>>, Fault> {
        let from = self.of(pipeline)?.place.clone();
        if !is_there(&from, self.session) {
            return Ok(None);
        }
        place::container(&from, self.network, self.session).map(Some)
    }

    fn import(&mut self, pipeline: &Pipeline, bundle: &Name) -> Ran {
        let own = match self.of(pipeline) {
            Ok(own) => own.clone(),
            Err(fault) => return Ran { run: None, bundle: None, ended: Err(fault) },
        };
        import::watched(&own, bundle, self.network, self.session)
    }

    fn tell(&mut self, line: &str, event: Value) {
        match self.session.globals.progress {
            _ if self.session.globals.quiet => {}
            Mode::None => {}
            Mode::Json => self.session.world.stderr.line(&crate::report::ascii(&event.to_string())),
            Mode::Auto | Mode::Plain => self.session.world.stderr.line(line),
        }
    }
}
