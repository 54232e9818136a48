//! The record of a run: begun or taken up again, and ended as the run ended.

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, differs};
use crate::cli::Session;
use crate::cli::audit::now;
use crate::cli::output::Outcome;
use crate::state::Store;
use crate::state::runs::{Held, Id, Kind, New, Run, State};

/// Returns the store for states.
///
/// # Errors
/// Class usage if there is no place for one.
pub(super) fn store(session: &Session<'_>) -> Result<Store, Fault> {
    session.store().ok_or_else(|| {
        let what = differs("state", "a directory", "none: neither XDG_STATE_HOME nor HOME is set");
        Fault::usage(what, "name one with --state")
    })
}

/// Begins a run, or goes on with `earlier` if that waits or was killed. From here on everything is
/// marked with its id.
///
/// # Errors
/// Class lock if `earlier` works in another process; class io.
pub(super) fn begin(
    (pipeline, kind): (&str, Kind),
    earlier: Option<&Run>,
    again_of: Option<Id>,
    session: &mut Session<'_>,
) -> Result<Held, Fault> {
    let runs = store(session)?.runs();
    let held = match earlier {
        Some(run) if matches!(run.state, State::Waiting | State::Killed) => runs.resume(&run.id)?,
        _ => runs.begin(&New { pipeline, kind, again_of }, now(session.flow.clock())?)?,
    };
    session.mark(Some(held.run().id.as_str()));
    Ok(held)
}

/// Refuses to run a pipeline that another process runs.
///
/// # Errors
/// Class lock; class io.
pub(super) fn check_idle(pipeline: &str, session: &Session<'_>) -> Result<(), Fault> {
    let running = store(session)?.runs().newest(pipeline, |run| run.state == State::Running)?;
    running.map_or(Ok(()), |run| {
        let what = format!("pipeline {pipeline}: run {} works in another process", run.id);
        Err(Fault::new(Class::Lock, what).help("wait for it, and run the command again"))
    })
}

/// Ends the record as the run ended, and puts its id into the outcome. A cancelled run stays as it is:
/// it can go on. `waits` says whether a fault means that signatures are waited for.
pub(super) fn end(held: Held, ended: Result<Outcome, Fault>, waits: bool, session: &mut Session<'_>) -> Outcome {
    let mut outcome = ended.unwrap_or_else(|fault| Outcome::new(String::new(), json!({})).failed(fault));
    let (id, pipeline) = (held.run().id.clone(), held.run().pipeline.clone());
    let kind = held.run().kind;
    let state = match &outcome.fault {
        None => State::Done,
        Some(_) if waits => State::Waiting,
        // A bundle with content left out on request was made.
        Some(fault) if kind == Kind::Export && fault.class == Class::Partial => State::Done,
        Some(_) => State::Failed,
    };
    if outcome.fault.as_ref().is_some_and(|fault| fault.class == Class::Cancelled) {
        drop(held);
        note(&mut outcome, &id, &pipeline, State::Killed);
    } else {
        let at = now(session.flow.clock());
        let noted = at.and_then(|at| held.end(state, outcome.fault.as_ref(), at)).err();
        note(&mut outcome, &id, &pipeline, state);
        if let Some(fault) = noted {
            let all = outcome.fault.clone().into_iter().chain([fault.clone()]).collect();
            outcome = outcome.failed(Fault::from_list(all).unwrap_or(fault));
        }
    }
    session.mark(None);
    outcome
}

/// Adds the run to what is shown.
fn note(outcome: &mut Outcome, id: &Id, pipeline: &str, state: State) {
    outcome.text.push_str(&format!("run        {id} of {pipeline}: {state}\n"));
    if outcome.result.is_null() {
        outcome.result = json!({});
    }
    if let Value::Object(members) = &mut outcome.result {
        members.insert("run".to_owned(), json!(id.as_str()));
        members.insert("pipeline".to_owned(), json!(pipeline));
        members.insert("state".to_owned(), json!(state.name()));
    }
}
