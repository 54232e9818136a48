//! The place of a new bundle in a channel: `--channel`, `--sequence`, `--epoch`, `--expires`,
//! checked against the exporter's state.
//!
//! The channel's exports stay locked until the bundle has its final names, so that no number is
//! used twice.

use crate::base::fault::{Class, Description, Fault, differs, expects};
use crate::bundle::time::Moment;
use crate::bundle::{ChannelPosition, Error, Manifest};
use crate::cli::Session;
use crate::oci::Digest;
use crate::oci::descriptor::MAX_SIZE;
use crate::signing::claims::is_channel;
use crate::state::Series;

/// Options for the channel of a new bundle.
#[derive(clap::Args, Debug)]
pub struct Channel {
    /// Channel that the bundle belongs to; with `-o DIR` the bundle is named CHANNEL-SEQUENCE
    #[arg(id = "channel", long = "channel", value_name = "C")]
    name: Option<String>,
    /// Sequence number of the bundle in the channel
    #[arg(long, value_name = "next|N", requires = "channel", default_value = "next")]
    sequence: String,
    /// Epoch of the channel [default: that of the last export, else 0]
    #[arg(long, value_name = "N", requires = "channel")]
    epoch: Option<u64>,
    /// Time when the bundle becomes stale: 2026-12-31T00:00:00Z, or 35d, 12h, 15m from now
    #[arg(long, value_name = "T", requires = "channel")]
    expires: Option<String>,
    /// Start the channel here, without the state of an earlier export
    #[arg(long)]
    init_state: bool,
}

/// The channel of a new bundle, and its place there.
#[derive(Clone, Debug, Default)]
pub struct ChannelRequest {
    /// Name of the channel; `None` for a bundle without one.
    pub name: Option<String>,
    /// Sequence number; `None` for the next one.
    pub sequence: Option<u64>,
    /// Epoch; `None` for that of the last export.
    pub epoch: Option<u64>,
    /// Time when the bundle becomes stale, as a time or as a span from the start of the run.
    pub expires: Option<String>,
    /// Whether the channel may start here.
    pub init_state: bool,
}

/// A place in a channel that is reserved for the new bundle.
pub struct Place {
    series: Series,
    /// Part of the manifest that states the place.
    pub standing: ChannelPosition,
}

/// An earlier export.
struct Export {
    bytes: Vec<u8>,
    epoch: u64,
    sequence: u64,
}

impl Channel {
    /// Returns what the options mean.
    ///
    /// # Errors
    /// Class usage.
    pub fn resolve(&self) -> Result<ChannelRequest, Fault> {
        if let Some(channel) = self.name.as_ref().filter(|name| !is_channel(name)) {
            let what =
                expects(format_args!("--channel {channel:?}"), "1 to 31 of a-z 0-9 _ -, a letter or digit first");
            return Err(Fault::usage(what, "choose a name such as apps"));
        }
        Ok(ChannelRequest {
            name: self.name.clone(),
            sequence: self.number()?,
            epoch: self.epoch,
            expires: self.expires.clone(),
            init_state: self.init_state,
        })
    }

    fn number(&self) -> Result<Option<u64>, Fault> {
        if self.sequence == "next" {
            return Ok(None);
        }
        let number = self.sequence.parse().ok().filter(|number| *number <= MAX_SIZE);
        number.map(Some).ok_or_else(|| {
            Fault::usage(
                expects(format_args!("--sequence {:?}", self.sequence), "next or a number below 2^53"),
                "leave it out for next",
            )
        })
    }
}

impl ChannelRequest {
    /// Returns whether the state of a channel may start here.
    pub const fn starts(&self) -> bool {
        self.init_state
    }

    /// Returns whether a channel was given.
    pub const fn is_given(&self) -> bool {
        self.name.is_some()
    }

    /// Returns the options that decide the content of the bundle, for recognizing the same request.
    pub fn text(&self, place: Option<&Place>) -> serde_json::Value {
        let standing = place.map(|place| &place.standing);
        // The expiry time depends on the start of the run, so the text as typed is used.
        serde_json::json!([standing.map(|one| (&one.channel, one.epoch, one.sequence, one.previous)), self.expires])
    }

    /// Reserves the channel's next place. `find` returns what there is of the bundle of a name.
    /// Returns `None` if no channel was given.
    ///
    /// # Errors
    /// Class usage; class stale without a state, or for a number that was used already; class lock,
    /// io.
    pub fn take(
        &self,
        created: Moment,
        session: &Session<'_>,
        find: impl Fn(&str) -> Result<There, Fault>,
    ) -> Result<Option<Place>, Fault> {
        let Some(channel) = &self.name else { return Ok(None) };
        let expires = self.expires.as_deref().map(|text| moment(text, created)).transpose()?;
        let store = session.store().ok_or_else(|| {
            let what = differs("state", "a directory", "none: neither XDG_STATE_HOME nor HOME is set");
            Fault::usage(what, "name one with --state")
        })?;
        let series = store.series(channel)?;
        let mut last = self.read(channel, series.last()?)?;
        let mut spent = None;
        if let Some(begun) = self.read(channel, series.begun()?)? {
            // That run was killed between signing and its end.
            let there = find(&format!("{channel}-{}", begun.sequence))?;
            if there.manifest.is_some_and(|found| found == begun.bytes) {
                series.done()?;
                last = Some(begun);
            } else if !there.is_unfinished {
                spent = Some((begun.epoch, begun.sequence));
            }
        }
        let stale = |what: Description, help: &str| {
            Fault::new(Class::Stale, what.within(format_args!("channel {channel}"))).help(help)
        };
        if last.is_none() && !self.init_state {
            let what = differs("", "the state of its last export", format_args!("none in {}", store.dir().display()));
            return Err(stale(
                what,
                "for the channel's first bundle use --init-state; else name the state directory with --state",
            ));
        }
        let floor = last.as_ref().map(|last| (last.epoch, last.sequence)).max(spent);
        let epoch = self.epoch.unwrap_or_else(|| floor.map_or(0, |(epoch, _)| epoch));
        let sequence = self.sequence.unwrap_or_else(|| floor.map_or(1, |(_, sequence)| sequence + 1));
        if epoch > MAX_SIZE || sequence > MAX_SIZE {
            return Err(Fault::usage(expects("channel", "epoch and sequence below 2^53"), "give smaller numbers"));
        }
        if let Some((old_epoch, old)) = floor.filter(|floor| (epoch, sequence) <= *floor) {
            let what = differs(
                "",
                format_args!("a place after epoch/sequence {old_epoch}/{old}"),
                format_args!("{epoch}/{sequence}"),
            );
            return Err(stale(what, "use --sequence next; a number is used only once"));
        }
        let previous = last.map(|last| Digest::sha256(&last.bytes));
        let standing = ChannelPosition { channel: channel.clone(), epoch, expires, previous, sequence };
        Ok(Some(Place { series, standing }))
    }

    /// Returns the manifest of the channel's newest export, the one before `place` if a place was
    /// reserved. Returns `None` if there is no export yet.
    ///
    /// # Errors
    /// Class usage without a channel; class io.
    pub fn last(&self, place: Option<&Place>, session: &Session<'_>) -> Result<Option<Vec<u8>>, Fault> {
        let Some(channel) = &self.name else {
            let what = differs("--base last", "--channel as well", "none");
            return Err(Fault::usage(what, "add --channel, or name the last bundle: --base DIR/NAME.json"));
        };
        if let Some(place) = place {
            return place.series.last();
        }
        session.store().filter(|_| is_channel(channel)).map_or(Ok(None), |store| store.last_export(channel))
    }

    /// Parses an export's manifest; a damaged one counts as none if the user restarts the channel.
    fn read(&self, channel: &str, bytes: Option<Vec<u8>>) -> Result<Option<Export>, Fault> {
        let Some(bytes) = bytes else { return Ok(None) };
        let parsed = Manifest::parse(&bytes).ok().filter(|manifest| manifest.channel.as_deref() == Some(channel));
        match parsed.and_then(|manifest| Some((manifest.epoch?, manifest.sequence?))) {
            Some((epoch, sequence)) => Ok(Some(Export { bytes, epoch, sequence })),
            None if self.init_state && self.sequence.is_some() => Ok(None),
            None => Err(Fault::new(
                Class::Stale,
                differs(
                    format_args!("channel {channel}"),
                    "the manifest of its last export in the state",
                    "something else",
                ),
            )
            .help(
                "put the last bundle's NAME.json in its place; or use --init-state and a --sequence above its number",
            )),
        }
    }
}

/// State of a bundle whose export may have been killed.
#[derive(Clone, Debug, Default)]
pub struct There {
    /// The manifest that was published.
    pub manifest: Option<Vec<u8>>,
    /// Whether an unfinished export can be continued.
    pub is_unfinished: bool,
}

impl Place {
    /// Returns the name of the bundle at this place.
    pub fn name(&self) -> String {
        format!("{}-{}", self.standing.channel, self.standing.sequence)
    }

    /// Records the manifest that is about to be published.
    ///
    /// # Errors
    /// Class io.
    pub fn begin(&self, manifest: &[u8]) -> Result<(), Error> {
        self.series.begin(manifest)
    }

    /// Records that the manifest was published.
    ///
    /// # Errors
    /// Class io.
    pub fn done(&self) -> Result<(), Fault> {
        self.series.done()
    }
}

/// Parses a T: RFC 3339, or `35d`, `12h`, `15m`, `90s` after `start`. The time must be after
/// `start`.
fn moment(text: &str, start: Moment) -> Result<Moment, Fault> {
    let wrong = |what: Description| {
        Fault::usage(
            what.within(format_args!("--expires {text:?}")),
            "write it as 2026-12-31T00:00:00Z, 35d, 12h or 15m",
        )
    };
    let moment = match crate::base::time::span(text) {
        Some(seconds) => start.unix().checked_add(seconds),
        None => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
    };
    let moment = moment.and_then(Moment::from_unix).ok_or_else(|| wrong(expects("", "a time")))?;
    if moment > start { Ok(moment) } else { Err(wrong(expects("", format_args!("a time after {start}")))) }
}
