//! Deletion of a bundle from where it arrived, after its import.

use crate::base::fault::{Class, Description, Fault, differs};
use crate::bundle::Name;
use crate::flow::Flow;
use crate::oci::Digest;
use crate::operate::transfer::{remove, upload};
use crate::receipt::{Receipt, State};
use crate::storage::Container;

/// Checks that a receipt proves the arrival of everything: each artifact and each tag was read back,
/// except tags that stayed as they were on request and referrers that were left out.
///
/// # Errors
/// [`Class::Policy`] with the first thing that is not proved.
pub fn check_receipt(receipt: &Receipt) -> Result<(), Fault> {
    let refused = |what: Description| {
        Err(Fault::new(Class::Policy, what).help("run the pipeline again once the destination returns everything"))
    };
    if let Some(fault) = &receipt.fault {
        return refused(differs("receipt", "an import without a fault", &fault.class));
    }
    if !receipt.is_whole() {
        return refused(differs("receipt", "every artifact to have arrived", "one that has not"));
    }
    for artifact in receipt.artifacts.iter().filter(|artifact| artifact.outcome.is_arrived()) {
        let is_proved = artifact.read_back == Some(artifact.digest);
        let unread = artifact.tags.iter().find(|tag| match tag.outcome {
            State::Set | State::Present => tag.read_back != Some(artifact.digest),
            State::Kept | State::LeftOut => false,
            State::Unread | State::Failed => true,
        });
        match unread {
            _ if !is_proved => {
                return refused(differs(artifact.digest, "it to be read back", "that it was not"));
            }
            Some(tag) => {
                let what = differs(
                    format_args!("{}:{}", artifact.repository, tag.name),
                    "it to be read back",
                    "that it was not",
                );
                return refused(what);
            }
            None => {}
        }
    }
    Ok(())
}

/// Deletes the bundle `name`, its manifest first, if it still is the one with this id.
///
/// # Errors
/// [`Class::Destination`] if it is another one by now, or the container refuses.
pub fn delete(flow: &Flow, container: &dyn Container, name: &Name, id: Digest) -> Result<(), Fault> {
    let found = upload::manifest(container, name)?.map(|bytes| Digest::sha256(&bytes));
    if found != Some(id) {
        let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
        let what = differs(container.shown(name.as_str()), format_args!("bundle {id}"), found);
        return Err(Fault::new(Class::Destination, what).help("look at the container with `packmule ls`"));
    }
    remove::bundle(flow, container, name).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::tests::partial;
    use crate::receipt::{Outcome, Reason};

    /// Returns a receipt of an import that brought everything.
    fn whole() -> Receipt {
        let mut receipt = partial();
        receipt.fault = None;
        receipt.artifacts.truncate(1);
        check_receipt(&receipt).unwrap();
        receipt
    }

    #[test]
    fn t12_only_what_was_read_back_may_be_deleted() {
        assert!(check_receipt(&partial()).is_err());
        let changes: [fn(&mut Receipt); 6] = [
            |receipt| receipt.fault = Some(Reason { class: "partial".to_owned(), text: "x".to_owned() }),
            |receipt| receipt.artifacts[0].outcome = Outcome::Unread,
            |receipt| receipt.artifacts[0].read_back = None,
            |receipt| receipt.artifacts[0].tags[0].read_back = None,
            |receipt| receipt.artifacts[0].tags[0].read_back = Some(Digest::sha256(b"other")),
            |receipt| receipt.artifacts[0].tags[1].outcome = State::Unread,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut receipt = whole();
            change(&mut receipt);
            assert_eq!(check_receipt(&receipt).unwrap_err().class, Class::Policy, "{number}");
        }
    }
}
