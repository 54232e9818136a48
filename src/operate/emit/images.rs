//! A plain list: `OLD=NEW`, one name a line. The new name is pinned to the digest.

use super::emitted::File;
use super::kind::Kind;
use super::names::Names;

/// Returns the file.
pub fn file(names: &Names) -> File {
    let mut lines = Vec::new();
    for name in &names.all {
        let (old, new) = (&name.source, &name.destination);
        lines.extend(name.tags.iter().map(|(tag, digest)| format!("{old}:{tag}={new}:{tag}@{digest}\n")));
        lines.extend(name.untagged.iter().map(|digest| format!("{old}@{digest}={new}@{digest}\n")));
    }
    File { path: "images.txt".to_owned(), text: Kind::Images.mark() + &lines.concat() }
}
