//! The place of a new bundle in a channel: `--channel`, `--sequence`, `--epoch`, `--expires`, by the exporter's state.
//!
//! The channel's exports stay locked until the bundle has its names, so that no number is given twice.

use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault};
use crate::bundle::format::manifest::MAX_MANIFEST;
use crate::bundle::time::Moment;
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{ChannelPosition, Error, Manifest};
use crate::cli::Session;
use crate::oci::Digest;
use crate::oci::descriptor::MAX_SIZE;
use crate::signing::claims::is_channel;
use crate::state::Series;

/// The options.
#[derive(clap::Args, Debug)]
pub struct Channel {
    /// The channel that the bundle belongs to; `-o DIR` then names it CHANNEL-SEQUENCE
    #[arg(id = "channel", long = "channel", value_name = "C")]
    name: Option<String>,
    /// Its number in the channel
    #[arg(long, value_name = "next|N", requires = "channel", default_value = "next")]
    sequence: String,
    /// The channel's epoch [default: that of the last export, else 0]
    #[arg(long, value_name = "N", requires = "channel")]
    epoch: Option<u64>,
    /// When it is stale: 2026-12-31T00:00:00Z, or from now on 35d, 12h, 15m
    #[arg(long, value_name = "T", requires = "channel")]
    expires: Option<String>,
    /// Begin the channel here: there is no state of its last export
    #[arg(long, requires = "channel")]
    init_state: bool,
}

/// A place that was taken.
pub struct Place {
    series: Series,
    /// The part of the manifest that states it.
    pub standing: ChannelPosition,
}

/// An earlier export.
struct Export {
    bytes: Vec<u8>,
    epoch: u64,
    sequence: u64,
}

impl Channel {
    /// Whether there is one.
    pub const fn is_given(&self) -> bool {
        self.name.is_some()
    }

    /// Returns what decides the content of the bundle, for the text of the request.
    pub fn text(&self, place: Option<&Place>) -> serde_json::Value {
        let standing = place.map(|place| &place.standing);
        // The moment is counted from each start; what was typed stays the same.
        serde_json::json!([standing.map(|one| (&one.channel, one.epoch, one.sequence, one.previous)), self.expires])
    }

    /// Takes the channel's next place. `target` says where the bundle of this name will lie; `None` for the name that the
    /// user gave.
    ///
    /// # Errors
    /// Class usage; class stale without a state, or for a number that was given; class lock, io.
    pub fn take(
        &self,
        created: Moment,
        session: &Session<'_>,
        target: impl Fn(&str) -> Result<PathBuf, Fault>,
    ) -> Result<Option<Place>, Fault> {
        let Some(channel) = &self.name else { return Ok(None) };
        if !is_channel(channel) {
            let what = format!("--channel {channel:?}: expected 1 to 31 of a-z 0-9 _ -, a letter or digit first");
            return Err(Fault::usage(what, "choose a name such as apps"));
        }
        let asked = self.number()?;
        let expires = self.expires.as_deref().map(|text| moment(text, created)).transpose()?;
        let store = session.store().ok_or_else(|| {
            let what = "state: expected a directory, found none: neither XDG_STATE_HOME nor HOME is set";
            Fault::usage(what.to_owned(), "name one with --state")
        })?;
        let series = store.series(channel)?;
        let mut last = self.read(channel, series.last()?)?;
        let mut spent = None;
        if let Some(begun) = self.read(channel, series.begun()?)? {
            // That run was killed between signing and its end.
            let path = target(&format!("{channel}-{}", begun.sequence))?;
            let published = read_capped(&path.with_extension("json"), MAX_MANIFEST).ok().flatten();
            if published.is_some_and(|found| found == begun.bytes) {
                series.done()?;
                last = Some(begun);
            } else if !path.with_extension("plan.partial").exists() {
                spent = Some((begun.epoch, begun.sequence));
            }
        }
        let stale =
            |what: String, help: &str| Fault::new(Class::Stale, format!("channel {channel}: {what}")).help(help);
        if last.is_none() && !self.init_state {
            let what = format!("expected the state of its last export, found none in {}", store.dir().display());
            return Err(stale(
                what,
                "for the channel's first bundle say --init-state; else name the directory with --state",
            ));
        }
        let floor = last.as_ref().map(|last| (last.epoch, last.sequence)).max(spent);
        let epoch = self.epoch.unwrap_or_else(|| floor.map_or(0, |(epoch, _)| epoch));
        let sequence = asked.unwrap_or_else(|| floor.map_or(1, |(_, sequence)| sequence + 1));
        if epoch > MAX_SIZE || sequence > MAX_SIZE {
            return Err(Fault::usage(
                "channel: expected epoch and sequence below 2^53".to_owned(),
                "give smaller numbers",
            ));
        }
        if let Some((old_epoch, old)) = floor.filter(|floor| (epoch, sequence) <= *floor) {
            let what = format!("expected a place after epoch/sequence {old_epoch}/{old}, found {epoch}/{sequence}");
            return Err(stale(what, "say --sequence next; a number is given once"));
        }
        let previous = last.map(|last| Digest::sha256(&last.bytes));
        let standing = ChannelPosition { channel: channel.clone(), epoch, expires, previous, sequence };
        Ok(Some(Place { series, standing }))
    }

    /// The manifest of the channel's newest export: that before `place`, where one was taken. None where there is none yet.
    ///
    /// # Errors
    /// Class usage without a channel; class io.
    pub fn last(&self, place: Option<&Place>, session: &Session<'_>) -> Result<Option<Vec<u8>>, Fault> {
        let Some(channel) = &self.name else {
            let what = "--base last: expected --channel beside it, found none".to_owned();
            return Err(Fault::usage(what, "say --channel, or name the last bundle: --base DIR/NAME.json"));
        };
        if let Some(place) = place {
            return place.series.last();
        }
        session.store().filter(|_| is_channel(channel)).map_or(Ok(None), |store| store.last_export(channel))
    }

    fn number(&self) -> Result<Option<u64>, Fault> {
        if self.sequence == "next" {
            return Ok(None);
        }
        let number = self.sequence.parse().ok().filter(|number| *number <= MAX_SIZE);
        number.map(Some).ok_or_else(|| {
            Fault::usage(
                format!("--sequence {:?}: expected next or a number below 2^53", self.sequence),
                "leave it away for next",
            )
        })
    }

    /// The export of this manifest; a damaged one counts as none where the user begins anew.
    fn read(&self, channel: &str, bytes: Option<Vec<u8>>) -> Result<Option<Export>, Fault> {
        let Some(bytes) = bytes else { return Ok(None) };
        let parsed = Manifest::parse(&bytes).ok().filter(|manifest| manifest.channel.as_deref() == Some(channel));
        match parsed.and_then(|manifest| Some((manifest.epoch?, manifest.sequence?))) {
            Some((epoch, sequence)) => Ok(Some(Export { bytes, epoch, sequence })),
            None if self.init_state && self.sequence != "next" => Ok(None),
            None => Err(Fault::new(
                Class::Stale,
                format!("channel {channel}: expected the manifest of its last export in the state, found something else"),
            )
            .help("put the last bundle's NAME.json in its place; or say --init-state and --sequence with a number above it")),
        }
    }
}

impl Place {
    /// The name of a bundle here.
    pub fn name(&self) -> String {
        format!("{}-{}", self.standing.channel, self.standing.sequence)
    }

    /// Notes the manifest that is about to be published.
    ///
    /// # Errors
    /// Class io.
    pub fn begin(&self, manifest: &[u8]) -> Result<(), Error> {
        self.series.begin(manifest)
    }

    /// It is published.
    ///
    /// # Errors
    /// Class io.
    pub fn done(&self) -> Result<(), Fault> {
        self.series.done()
    }
}

/// T: RFC 3339, or `35d`, `12h`, `15m`, `90s` from `start` on; after `start`.
fn moment(text: &str, start: Moment) -> Result<Moment, Fault> {
    let wrong = |what: &str| {
        Fault::usage(format!("--expires {text:?}: {what}"), "write it as 2026-12-31T00:00:00Z, 35d, 12h or 15m")
    };
    let moment = match crate::base::time::span(text) {
        Some(seconds) => start.unix().checked_add(seconds),
        None => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
    };
    let moment = moment.and_then(Moment::from_unix).ok_or_else(|| wrong("expected a time"))?;
    if moment > start { Ok(moment) } else { Err(wrong(&format!("expected a time after {start}"))) }
}

/// Where a bundle goes: the directory, which must be there, and its name; `channel` names it in a directory.
///
/// # Errors
/// Class usage; class io where a directory is not there.
pub fn target(
    path: &Path,
    session: &Session<'_>,
    channel: Option<&str>,
) -> Result<(PathBuf, crate::bundle::Name), Fault> {
    let (full, subject) = (session.path(path), format!("-o {}", path.display()));
    // A path forgets a slash or a dot at its end, and what is no directory would be a bundle's name beside it.
    let last = path.as_os_str().as_encoded_bytes().rsplit(|byte| *byte == b'/').next();
    let is_folder = matches!(last, Some(b"" | b"." | b".."));
    let seen = full.metadata();
    if is_folder && !seen.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        let what = format!("{subject}: expected a directory, found none");
        return Err(Fault::new(Class::Io, what).help("look whether the medium is mounted; else make the directory"));
    }
    let (dir, name) = match (channel, &seen) {
        (Some(name), Ok(found)) if found.is_dir() => (full, name.to_owned()),
        (_, Ok(found)) if !found.is_dir() && !found.is_file() => {
            let what = format!("{subject}: expected DIR/NAME, found a device, pipe or socket");
            return Err(Fault::usage(what, "mount the medium, and name a directory on it"));
        }
        _ => {
            let name = full.file_name().and_then(|name| name.to_str()).filter(|_| !full.is_dir()).ok_or_else(|| {
                let what = format!("{subject}: expected DIR/NAME, found a directory");
                Fault::usage(what, "add a slash and the bundle's name, or say --channel")
            })?;
            // In the process itself a bare name has no directory, not even a dot.
            let dir = full.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (dir.to_owned(), name.to_owned())
        }
    };
    crate::outfile::check_folder(&dir, &subject)?;
    Ok((dir, crate::bundle::Name::new(&name)?))
}
