//! Text and JSON for the differences between the configs of images that `diff` shows.
//!
//! The texts come from whoever made the images; here they are escaped for people.

use serde_json::{Value, json};

use crate::base::fault::escape;
use crate::operate::diff::images::{ImageChange, ImageChanges, Turn};
use crate::operate::diff::{Change, Difference};

/// Maximum number of labels, and of steps of the history, that are shown of an image.
const FEW: usize = 12;

fn of<'a>(images: &'a ImageChanges, change: &Change) -> Option<&'a ImageChange> {
    match change {
        Change::Changed { old, new } => images.get(&(**old, **new)),
        Change::New(_) | Change::Gone(_) => None,
    }
}

/// Returns the lines about the configs of a changed name; none if they are unknown or say the same.
pub fn image_lines(images: &ImageChanges, change: &Change) -> String {
    let Some(change) = of(images, change) else { return String::new() };
    let turn = |word: &str, turn: &Turn| match (&turn.old, &turn.new) {
        (Some(old), Some(new)) => format!("{word} {} is now {}", escape(old), escape(new)),
        (Some(old), None) => format!("{word} {} is gone", escape(old)),
        (None, new) => format!("{word} {} is new", escape(new.as_deref().unwrap_or_default())),
    };
    let mut text = String::new();
    for (word, found) in [("platform", &change.platform), ("made", &change.created)] {
        found.iter().for_each(|found| text.push_str(&format!("    {}\n", turn(word, found))));
    }
    let labels = change.labels.iter().map(|(name, found)| turn(&format!("label {}:", escape(name)), found));
    // The last steps say what is special about an image.
    let steps = change.history.iter().flat_map(|steps| {
        let gone = steps.gone.iter().rev().map(|step| format!("step is gone: {}", escape(step)));
        gone.chain(steps.new.iter().rev().map(|step| format!("step is new: {}", escape(step))))
    });
    for (word, list) in [("labels", labels.collect::<Vec<_>>()), ("steps", steps.collect())] {
        list.iter().take(FEW).for_each(|one| text.push_str(&format!("    {one}\n")));
        if list.len() > FEW {
            text.push_str(&format!("    and {} more {word} differ\n", list.len() - FEW));
        }
    }
    text
}

/// Adds the member `image` to the changed names among `listed`, the first changes of `found`: the
/// difference between the configs, or null if it is unknown.
pub fn add_images(listed: &mut [Value], found: &Difference, images: &ImageChanges) {
    for (value, (_, change)) in listed.iter_mut().zip(&found.changes) {
        if matches!(change, Change::Changed { .. }) {
            value["image"] = json!(of(images, change));
        }
    }
}
