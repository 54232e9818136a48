//! `--shard`: a part of a run, as typed, or as a Kubernetes Indexed Job says.

use crate::base::fault::{Description, Fault, differs};
use crate::base::shard::{MOST, Shard};
use crate::cli::world::World;

/// Variable in which Kubernetes gives the index of a pod of an Indexed Job, counted from 0.
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// Parses `I/N`, counted from 1, or `job/N`, where the index comes from Kubernetes.
///
/// # Errors
/// Class usage.
pub fn parse(text: &str, world: &World) -> Result<Shard, Fault> {
    let wrong = |what: Description, help: String| Err(Fault::usage(what.within(format_args!("--shard {text}")), help));
    let Some(count) = text.strip_prefix("job/") else {
        return Shard::parse(text).map_or_else(
            || wrong(differs("", format_args!("I/N with I from 1 to N, at most {MOST}"), "another text"), help()),
            Ok,
        );
    };
    let Some(first) = Shard::parse(&format!("1/{count}")) else {
        return wrong(differs("", format_args!("job/N with N from 1 to {MOST}"), "another text"), help());
    };
    let Some(index) = world.var(INDEX) else {
        return wrong(
            differs(INDEX, "the index of a pod", "it unset"),
            format!("run it in an Indexed Job, or {}", help()),
        );
    };
    let number = index.to_str().and_then(|index| index.parse::<u32>().ok()).and_then(|index| index.checked_add(1));
    match number.and_then(|number| Shard::new(number, first.count())) {
        Some(shard) => Ok(shard),
        None => wrong(
            differs(INDEX, format_args!("0 to {}", first.count() - 1), format_args!("{:?}", index.to_string_lossy())),
            "give --shard job/N the number of completions of the Job".to_owned(),
        ),
    }
}

fn help() -> String {
    "write --shard 2/4 for the second of four".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_1_and_pods_from_0() {
        let (mut world, ..) = World::for_test(&[], std::path::Path::new("/"));
        assert_eq!(parse("2/4", &world).unwrap().to_string(), "2/4");
        let refused = |text: &str, world: &World| parse(text, world).unwrap_err().what;
        for wrong in ["0/4", "5/4", "2", "", "job", "a/b", "2/100001", "job/0", "job/100001", "job/04"] {
            assert!(refused(wrong, &world).contains("found another text"), "{wrong}");
        }
        assert!(refused("job/4", &world).contains("JOB_COMPLETION_INDEX: expected the index of a pod, found it unset"));
        for (index, shard) in [("0", "1/4"), ("3", "4/4")] {
            world.env.insert(INDEX.into(), index.into());
            assert_eq!(parse("job/4", &world).unwrap().to_string(), shard);
            assert_eq!(parse("2/4", &world).unwrap().to_string(), "2/4");
        }
        for index in ["4", "-1", "x", "4294967295"] {
            world.env.insert(INDEX.into(), index.into());
            assert!(refused("job/4", &world).contains("expected 0 to 3"), "{index}");
        }
    }
}
