//! The order check of a channel in one run: which state applies, what it says about a bundle, and
//! what is reported.
//!
//! A [`Keeper`] belongs to one run. It locks the state of the channel when the bundle is judged and
//! releases it when the run ends. [`crate::state::order`] decides which bundle may follow which.
//! Nothing here reads the environment or the clock: the caller provides the store and the time.

use crate::base::lock::lock;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, differs};
use crate::base::time::Moment;
use crate::oci::Tag;
use crate::signing::{Claims, Order, Rules};
use crate::state::destination::normal;
use crate::state::order::{judge, judge_policy};
use crate::state::{Asked, Candidate, Found, Position, Seat, Step, Store, Tags};

/// Whose state applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// No destination: the highest position of all destinations applies, and nothing is written.
    Look,
    /// A destination, whose state is read and written.
    Into(String),
    /// A destination, whose state is only read.
    Peek(String),
}

/// Destination name for a guard's own state.
const GUARD: &str = "guard";

impl Side {
    /// Returns the side of a guard, which keeps its own state.
    pub fn guard() -> Self {
        Self::Into(GUARD.to_owned())
    }

    /// Returns the side of an import to `destination`, a name from [`registry`] or [`layout`]. With
    /// `looks`, the state is only read, as in a dry run.
    pub fn import(destination: String, looks: bool) -> Self {
        if looks { Self::Peek(destination) } else { Self::Into(destination) }
    }
}

/// Returns the name of a registry in the state, the same however it was typed.
pub fn registry(host: &str, prefix: &str) -> String {
    normal(&format!("registry:{host}/{prefix}"))
}

/// Returns the name of a layout in the state. `dir` is its absolute path without symbolic links.
pub fn layout(dir: &Path) -> String {
    format!("oci:{}", distinct(dir))
}

/// Returns `path` as text. Bytes that are not text are written as `\xNN`, so that different paths
/// stay different.
fn distinct(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Checks and records the order of one bundle in its channel.
#[derive(Debug)]
pub struct Keeper {
    store: Option<Store>,
    side: Side,
    init: bool,
    allow_stale: bool,
    now: i64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    // The seat, with the position and the policy version to record once everything has passed.
    seat: Option<(Seat, Option<(Position, u64)>)>,
    // The channel of the bundle that was judged in order.
    channel: Option<String>,
    told: Told,
}

/// Result of the order check of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// One line for people.
    pub line: String,
    /// Faults that were allowed, and other warnings.
    pub warnings: Vec<String>,
    /// Position of the last accepted bundle, if a state has one.
    pub last: Option<Position>,
    /// The result for programs.
    pub json: Value,
}

impl Keeper {
    /// Returns a keeper for `side`, with the run's `store` if it has one. `now` is the current time
    /// in seconds since 1970.
    pub fn new(side: Side, init: bool, allow_stale: bool, store: Option<Store>, now: i64) -> Self {
        // Checked now: a sandboxed process cannot distinguish a missing directory from one it may
        // not see.
        let store = store.filter(|store| side != Side::Look || store.dir().exists());
        Self { store, side, init, allow_stale, now, inner: Mutex::default() }
    }

    /// Returns a keeper with the same settings for another bundle, at another time.
    #[must_use]
    pub fn anew(&self, now: i64) -> Self {
        let (store, side) = (self.store.clone(), self.side.clone());
        Self { store, side, init: self.init, allow_stale: self.allow_stale, now, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Returns the result; empty before a bundle was judged.
    pub fn told(&self) -> Told {
        self.inner().told.clone()
    }

    /// Returns the tags that this machine set at the run's destination for the channel of the judged
    /// bundle, and the reason if stored ones do not count. `None` without a channel, a destination or a
    /// state.
    pub fn tags(&self) -> Option<(Tags, Option<String>)> {
        let inner = self.inner();
        let (store, channel) = (self.store.as_ref()?, inner.channel.as_ref()?);
        let destination = self.destination()?;
        Some(match &inner.seat {
            Some((seat, _)) => seat.tags(self.init),
            None => store.tags(channel, destination, self.init),
        })
    }

    /// Stores the tags, if this run writes a state: see [`Seat::hold_tags`].
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn hold_tags<'a>(
        &self,
        tags: Tags,
        kept: impl IntoIterator<Item = (&'a str, &'a Tag)>,
    ) -> Result<usize, Fault> {
        self.inner().seat.as_ref().map_or(Ok(0), |(seat, _)| seat.hold_tags(tags, kept))
    }

    fn expiry(&self, expires: Option<i64>) -> Option<Fault> {
        let expires = expires.filter(|expires| self.now >= *expires)?;
        let what = format!("bundle: expired at {}, the clock says {}", shown(expires), shown(self.now));
        Some(Fault::new(Class::Stale, what).help("get a newer bundle, or use this one anyway with --allow-stale"))
    }

    /// Returns the state that applies, and the seat if this run will write it.
    fn look(&self, bundle: &Candidate<'_>, rules: &Rules) -> Result<(Found, Option<Seat>), Fault> {
        let channel = bundle.channel;
        let Some(store) = &self.store else {
            if rules.sequence && self.side != Side::Look {
                let what = differs("state", "a directory", "none: neither XDG_STATE_HOME nor HOME is set");
                return Err(Fault::new(Class::Usage, what).help("name one with --state"));
            }
            return Ok((Found::Nothing, None));
        };
        match &self.side {
            Side::Look => Ok((store.highest(bundle), None)),
            Side::Peek(destination) => Ok((store.look(channel, destination), None)),
            Side::Into(destination) => {
                let seat = store.take(channel, destination)?;
                Ok((seat.found(), Some(seat)))
            }
        }
    }

    /// Compares a bundle of a channel with the state.
    fn turn(&self, channel: &str, claims: &Claims<'_>, rules: &Rules, told: &mut Told) -> Result<(), Fault> {
        let position = Position {
            epoch: claims.epoch.unwrap_or_default(),
            sequence: claims.sequence.unwrap_or_default(),
            id: claims.id,
        };
        let bundle = Candidate { channel, position, previous: claims.previous };
        let (found, seat) = self.look(&bundle, rules)?;
        let at = format!("{channel} {}/{}", position.epoch, position.sequence);
        told.json = json!({ "channel": channel, "epoch": position.epoch, "sequence": position.sequence });
        if let (Side::Look, Found::Nothing | Found::Damaged(_) | Found::Foreign(_)) = (&self.side, &found) {
            let why = match found {
                Found::Damaged(why) => format!("the state cannot be read ({why})"),
                Found::Foreign(_) => "the state is another machine's".to_owned(),
                _ => "no state of this channel".to_owned(),
            };
            told.line = format!("{at}: not checked, {why}");
            told.json["state"] = json!("unchecked");
            return Ok(());
        }
        if let Found::Held(held) | Found::Foreign(held) = &found {
            told.last = Some(*held);
        }
        let asked =
            Asked { state: rules.sequence, previous: rules.previous, init: self.init, allow_stale: self.allow_stale };
        let step = judge(&found, &bundle, asked)?;
        let (held_version, version) = self.version(channel, rules, told)?;
        let held = match &found {
            Found::Held(held) | Found::Foreign(held) => format!("{}/{}", held.epoch, held.sequence),
            Found::Nothing | Found::Damaged(_) => "none".to_owned(),
        };
        told.json["state"] = json!(step.word());
        told.line = match &step {
            Step::First => format!("{at}: the first one here, so no older one was looked for"),
            Step::Same => format!("{at}: the one that is already held"),
            Step::Next => format!("{at}: above {held}, the last one accepted"),
            Step::Behind(_) => format!("{at}: OLDER than {held}, the last one accepted"),
            Step::Gap(_) => format!("{at}: does NOT FOLLOW {held}, the last one accepted"),
        };
        told.warnings.extend(step.overlooked().map(|fault| format!("overlooked by --allow-stale: {}", fault.what)));
        if seat.is_none() && matches!(self.side, Side::Into(_)) {
            told.line.push_str(", not kept: no directory for the state (--state)");
        }
        self.beside(channel, &position, told);
        let next = match found {
            _ if step.moves() => Some((position, version)),
            // Only the policy version may be higher.
            Found::Held(held) if version > held_version => Some((held, version)),
            _ => None,
        };
        let mut inner = self.inner();
        inner.seat = seat.map(|seat| (seat, next));
        inner.channel = Some(channel.to_owned());
        Ok(())
    }

    /// Returns the destination whose record this run reads; `None` means all of them.
    pub fn destination(&self) -> Option<&str> {
        match &self.side {
            Side::Look => None,
            Side::Into(destination) | Side::Peek(destination) => Some(destination),
        }
    }

    /// Returns the recorded policy version and the version to record from now on. Fails if this
    /// run's policy is older than the recorded one.
    fn version(&self, channel: &str, rules: &Rules, told: &mut Told) -> Result<(u64, u64), Fault> {
        let held = self.store.as_ref().map_or(0, |store| store.policy(channel, self.destination()));
        told.warnings.extend(judge_policy(channel, held, rules.version)?);
        Ok((held, held.max(rules.version.unwrap_or_default())))
    }

    /// Warns about a higher position under another prefix of the same registry: content that
    /// `--map` sends there is not ordered here.
    fn beside(&self, channel: &str, position: &Position, told: &mut Told) {
        let (Some(store), Some(destination)) = (&self.store, self.destination()) else { return };
        let above = store.beside(channel, destination).into_iter().filter(|(_, held)| held.above(position));
        told.warnings.extend(above.map(|(other, held)| {
            let (epoch, sequence) = (held.epoch, held.sequence);
            format!("state: {other} holds {epoch}/{sequence} of channel {channel}, above this one; {destination} has its own order")
        }));
    }
}

impl Order for Keeper {
    fn judge(&self, claims: &Claims<'_>, rules: &Rules) -> Result<(), Fault> {
        let mut told = Told { json: Value::Null, ..Told::default() };
        let mut faults = Vec::new();
        if claims.created > self.now {
            let (created, now) = (shown(claims.created), shown(self.now));
            told.warnings.push(format!("clock: the bundle was made at {created}, but the clock here says {now}"));
        }
        if let Some(fault) = self.expiry(claims.expires) {
            if self.allow_stale {
                told.warnings.push(format!("overlooked by --allow-stale: {}", fault.what));
            } else {
                faults.push(fault);
            }
        }
        match claims.channel {
            None => "not checked, a bundle without a channel: an older one cannot be distinguished from the newest"
                .clone_into(&mut told.line),
            Some(channel) => faults.extend(self.turn(channel, claims, rules, &mut told).err()),
        }
        if !told.json.is_null() {
            let overlooked: Vec<&String> = told.warnings.iter().filter(|text| text.starts_with("overlooked")).collect();
            if !overlooked.is_empty() {
                told.json["overlooked"] = json!(overlooked);
            }
        }
        self.inner().told = told;
        Fault::from_list(faults).map_or(Ok(()), Err)
    }

    fn accept(&self) -> Result<(), Fault> {
        match &self.inner().seat {
            Some((seat, Some((position, policy)))) => seat.hold(position, *policy),
            _ => Ok(()),
        }
    }
}

fn shown(unix: i64) -> String {
    Moment::from_unix(unix).map_or_else(|| unix.to_string(), |moment| moment.to_string())
}
