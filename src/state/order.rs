//! Checks the order of bundles: rollback, replay, two bundles with one number, gaps
//! (`spec/state.md`).
//!
//! Computes a step from values. No files, no clock.

use crate::base::fault::{Class, Description, Fault, differs};
use crate::oci::Digest;

/// Position in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Epoch.
    pub epoch: u64,
    /// Sequence number in the epoch.
    pub sequence: u64,
    /// Bundle id.
    pub id: Digest,
}

impl Position {
    /// Whether this position is later than `other`.
    pub fn above(&self, other: &Self) -> bool {
        (self.epoch, self.sequence) > (other.epoch, other.sequence)
    }
}

/// State that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No state.
    Nothing,
    /// Something that is not a valid state, and the reason.
    Damaged(String),
    /// The state of another machine.
    Foreign(Position),
    /// A valid state.
    Held(Position),
}

/// A bundle of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Channel.
    pub channel: &'a str,
    /// Position of the bundle.
    pub position: Position,
    /// Id of the bundle that it states as its predecessor.
    pub previous: Option<Digest>,
}

/// Requirements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// A state must exist.
    pub state: bool,
    /// The bundle must directly follow the last accepted one.
    pub previous: bool,
    /// `--init-state`: a state need not exist.
    pub init: bool,
    /// `--allow-stale`: the bundle may be older than the state, or leave a gap.
    pub allow_stale: bool,
}

/// Effect of a bundle on the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was no state: the bundle is the first one.
    First,
    /// The last accepted bundle again. The state does not change.
    Same,
    /// The state advances to the bundle.
    Next,
    /// The bundle is older and was accepted anyway. The state does not change.
    Behind(Fault),
    /// The bundle does not follow the last accepted one and was accepted anyway. The state advances
    /// to it.
    Gap(Fault),
}

impl Step {
    /// Whether the state changes.
    pub const fn moves(&self) -> bool {
        matches!(self, Self::First | Self::Next | Self::Gap(_))
    }

    /// Returns the step as one word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Same => "same",
            Self::Next => "next",
            Self::Behind(_) => "behind",
            Self::Gap(_) => "gap",
        }
    }

    /// Returns the fault that was overridden, if any.
    pub const fn overlooked(&self) -> Option<&Fault> {
        match self {
            Self::Behind(fault) | Self::Gap(fault) => Some(fault),
            _ => None,
        }
    }
}

/// Decides whether `bundle` is in order.
///
/// # Errors
/// [`Class::Stale`].
pub fn judge(found: &Found, bundle: &Candidate<'_>, asked: Asked) -> Result<Step, Fault> {
    let stale = |what: Description, help: &str| {
        Fault::new(Class::Stale, what.within(format_args!("channel {}", bundle.channel))).help(help)
    };
    let begin = "if this is the channel's first bundle here, or its holders confirm the number: --init-state";
    let lacks = match found {
        Found::Held(held) => return turn(held, bundle, asked),
        // Another machine's position is the minimum once the operator has agreed to take it over.
        Found::Foreign(held) if asked.init => {
            return turn(held, bundle, asked).map(|step| if matches!(step, Step::Same) { Step::First } else { step });
        }
        Found::Foreign(_) => "another machine's".to_owned(),
        Found::Damaged(why) => format!("none that can be read ({why})"),
        Found::Nothing => "none".to_owned(),
    };
    let there = !matches!(found, Found::Nothing);
    if asked.init || (!asked.state && !there) {
        return Ok(Step::First);
    }
    Err(stale(differs("", "a state of what was accepted last", lacks), begin))
}

/// Checks that the policy's `version` is at least `held`, the highest version that admitted a
/// bundle of `channel`. Keys from the command line have no version and are allowed. Returns a
/// warning, if any.
///
/// # Errors
/// [`Class::Stale`].
pub fn judge_policy(channel: &str, held: u64, version: Option<u64>) -> Result<Option<String>, Fault> {
    match version {
        Some(version) if version < held => {
            let what = differs(
                format_args!("channel {channel}"),
                format_args!("a policy of version {held} or above"),
                format_args!("{version}: an older one"),
            );
            Err(Fault::new(Class::Stale, what)
                .help("get the newest policy; to go back on purpose, give the old rules a higher version"))
        }
        None if held > 0 => Ok(Some(format!(
            "state: the last bundle of channel {channel} came in under a policy of version {held}; keys alone have no rules"
        ))),
        _ => Ok(None),
    }
}

fn turn(held: &Position, bundle: &Candidate<'_>, asked: Asked) -> Result<Step, Fault> {
    let found = &bundle.position;
    let stale = |what: Description, help: &str| {
        Fault::new(Class::Stale, what.within(format_args!("channel {}", bundle.channel))).help(help)
    };
    let (was, is) = (format!("{}/{}", held.epoch, held.sequence), format!("{}/{}", found.epoch, found.sequence));
    if (held.epoch, held.sequence) == (found.epoch, found.sequence) {
        if held.id == found.id {
            return Ok(Step::Same);
        }
        let what =
            format!("two bundles are signed as epoch/sequence {is}: {} was accepted, found {}", held.id, found.id);
        return Err(stale(
            what.into(),
            "stop, and ask the signers how this happened: one number was used twice, or a key is misused",
        ));
    }
    if !found.above(held) {
        let what = differs("", format_args!("a bundle after epoch/sequence {was}"), format_args!("{is}: an older one"));
        let fault = stale(what, "get the newest bundle; to go back on purpose, use --allow-stale");
        return if asked.allow_stale { Ok(Step::Behind(fault)) } else { Err(fault) };
    }
    if asked.previous && bundle.previous != Some(held.id) {
        let follows = bundle.previous.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let what = differs(
            "",
            format_args!("a bundle that follows {} ({was})", held.id),
            format_args!("{is}, which follows {follows}"),
        );
        let fault = stale(what, "import the bundles in between first; to skip them on purpose, use --allow-stale");
        return if asked.allow_stale { Ok(Step::Gap(fault)) } else { Err(fault) };
    }
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Asked = Asked { state: false, previous: false, init: false, allow_stale: false };
    const STATE: Asked = Asked { state: true, ..NONE };

    fn at(epoch: u64, sequence: u64, id: &str) -> Position {
        Position { epoch, sequence, id: Digest::sha256(id.as_bytes()) }
    }

    fn bundle(position: Position, previous: Option<&str>) -> Candidate<'static> {
        let previous = previous.map(|id| Digest::sha256(id.as_bytes()));
        Candidate { channel: "apps", position, previous }
    }

    fn step(found: &Found, position: Position, asked: Asked) -> Result<&'static str, Class> {
        judge(found, &bundle(position, None), asked).map(|step| step.word()).map_err(|fault| fault.class)
    }

    #[test]
    fn s15_rollback_replay_and_equivocation() {
        let held = Found::Held(at(1, 7, "a"));
        for asked in [NONE, STATE, Asked { init: true, ..STATE }] {
            assert_eq!(step(&held, at(1, 8, "b"), asked), Ok("next"));
            assert_eq!(step(&held, at(2, 1, "b"), asked), Ok("next"));
            assert_eq!(step(&held, at(1, 7, "a"), asked), Ok("same"));
            for (epoch, sequence) in [(1, 6), (0, 9), (1, 0)] {
                assert_eq!(step(&held, at(epoch, sequence, "b"), asked), Err(Class::Stale));
            }
            assert_eq!(step(&held, at(1, 7, "b"), asked), Err(Class::Stale));
        }
        let allowed = Asked { allow_stale: true, ..STATE };
        assert_eq!(step(&held, at(1, 6, "b"), allowed), Ok("behind"));
        assert!(!judge(&held, &bundle(at(1, 6, "b"), None), allowed).unwrap().moves());
        // Two bundles with one number are never accepted.
        assert_eq!(step(&held, at(1, 7, "b"), allowed), Err(Class::Stale));
    }

    #[test]
    fn s15_a_gap_counts_where_previous_is_demanded() {
        let (held, asked) = (Found::Held(at(0, 7, "a")), Asked { previous: true, ..STATE });
        let to = |previous: Option<&str>, asked| judge(&held, &bundle(at(0, 9, "c"), previous), asked);
        assert_eq!(to(Some("a"), asked).unwrap(), Step::Next);
        for previous in [None, Some("b"), Some("c")] {
            assert_eq!(to(previous, asked).unwrap_err().class, Class::Stale);
            assert_eq!(to(previous, STATE).unwrap(), Step::Next);
            let step = to(previous, Asked { allow_stale: true, ..asked }).unwrap();
            assert!(step.moves() && step.word() == "gap");
        }
        assert_eq!(judge(&held, &bundle(at(0, 7, "a"), Some("x")), asked).unwrap(), Step::Same);
    }

    #[test]
    fn s15_an_older_policy_is_stale_and_keys_alone_are_warned_of() {
        for (held, version, expected) in [
            (0, Some(0), Ok(false)),
            (0, None, Ok(false)),
            (0, Some(1), Ok(false)),
            (7, Some(7), Ok(false)),
            (7, Some(8), Ok(false)),
            (7, Some(6), Err(Class::Stale)),
            (7, Some(0), Err(Class::Stale)),
            (7, None, Ok(true)),
        ] {
            let judged = judge_policy("apps", held, version);
            assert_eq!(
                judged.map(|warned| warned.is_some()).map_err(|fault| fault.class),
                expected,
                "{held} {version:?}"
            );
        }
    }

    #[test]
    fn s16_no_state_is_no_first_bundle() {
        let damaged = Found::Damaged("cut".to_owned());
        for (found, without, demanded) in [
            (&Found::Nothing, Ok("first"), Err(Class::Stale)),
            (&damaged, Err(Class::Stale), Err(Class::Stale)),
            (&Found::Foreign(at(0, 1, "a")), Err(Class::Stale), Err(Class::Stale)),
        ] {
            assert_eq!(step(found, at(0, 5, "b"), NONE), without);
            assert_eq!(step(found, at(0, 5, "b"), STATE), demanded);
            assert_eq!(step(found, at(0, 5, "b"), Asked { allow_stale: true, ..STATE }), demanded);
            let begun = step(found, at(0, 5, "b"), Asked { init: true, ..STATE });
            assert!(matches!(begun, Ok("first" | "next")), "{begun:?}");
        }
        // Another machine's state, taken over, still counts.
        let foreign = Found::Foreign(at(0, 7, "a"));
        let init = Asked { init: true, ..STATE };
        assert_eq!(step(&foreign, at(0, 6, "b"), init), Err(Class::Stale));
        assert!(judge(&foreign, &bundle(at(0, 7, "a"), None), init).unwrap().moves());
    }
}
