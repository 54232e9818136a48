//! How `verify` shows a shard that holds, and the tallies that were joined.

use serde_json::{Value, json};

use super::write::Written;
use crate::bundle::Trusted;
use crate::bundle::check::seen::Seen;
use crate::bundle::check::shard::{Share, share_of};
use crate::operate::tallies::Vouched;

/// Adds what was seen of a bundle, and the tally that was written of it.
pub fn seen(seen: &Seen, bundle: &Trusted, written: Option<Written>, text: &mut String, result: &mut Value) {
    let (shard, tally) = (seen.shard(), seen.tally());
    let Share { units, volumes } = share_of(bundle, shard);
    let volumes: Vec<usize> = volumes.map(|volume| volume + 1).collect();
    let place = match volumes[..] {
        [] => String::new(),
        [one] => format!(" in volume {one}"),
        [first, .., last] => format!(" in volumes {first} to {last}"),
    };
    text.push_str(&format!(
        "shard      {shard} is intact: {} blobs, {} bytes{place}; the others were not checked\n",
        tally.blobs, tally.bytes
    ));
    result["shard"] = json!({
        "index": shard.index(), "count": shard.count(), "units": units.len(), "volumes": volumes,
        "blobs": tally.blobs, "bytes": tally.bytes,
    });
    if let Some(Written { line, json }) = written {
        text.push_str(&line);
        result["tally"] = json;
    }
}

/// Adds the tallies that were joined.
pub fn joined(tallies: &[Vouched], text: &mut String, result: &mut Value) {
    if tallies.is_empty() {
        return;
    }
    let own = tallies.iter().filter(|one| one.keyids.is_empty()).count();
    let oldest = tallies.iter().map(|one| one.ended).min().map(|ended| ended.to_string()).unwrap_or_default();
    text.push_str(&format!(
        "shards     {} tallies, {} signed and {own} of this machine's user or root, the oldest of {oldest}\n",
        tallies.len(),
        tallies.len() - own,
    ));
    let list = tallies.iter().map(
        |one| json!({ "file": one.name, "shard": one.shard.to_string(), "ended": one.ended, "keyids": one.keyids }),
    );
    result["tallies"] = list.collect();
}
