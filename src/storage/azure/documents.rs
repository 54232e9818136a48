//! The XML documents of the service: lists of objects, lists of blocks.
//!
//! The input is untrusted; its size is limited by whoever reads it.

use std::time::UNIX_EPOCH;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;

use super::address::decoded;

/// One page of a list of objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// An object of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its whole name, with the prefix of the container.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its `ETag`, with quotation marks as in answers for the object itself.
    pub etag: Option<String>,
    /// Its MD5, if it has one.
    pub md5: Option<[u8; 16]>,
    /// When it was changed, in seconds since 1970.
    pub modified: Option<u64>,
}

/// A block of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ListedBlock {
    /// Its id, base64.
    #[serde(rename = "Name")]
    pub id: String,
    /// Its size in bytes.
    #[serde(rename = "Size")]
    pub size: u64,
}

#[derive(Deserialize)]
struct EnumerationResults {
    #[serde(rename = "Blobs", default)]
    blobs: Blobs,
    #[serde(rename = "NextMarker", default)]
    next: Option<String>,
}

#[derive(Deserialize, Default)]
struct Blobs {
    #[serde(rename = "Blob", default)]
    blobs: Vec<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    #[serde(rename = "Name")]
    name: Name,
    #[serde(rename = "Properties")]
    properties: Properties,
}

#[derive(Deserialize)]
struct Name {
    #[serde(rename = "@Encoded", default)]
    is_encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length", default)]
    size: u64,
    #[serde(rename = "Etag", default)]
    etag: Option<String>,
    #[serde(rename = "Content-MD5", default)]
    md5: Option<String>,
    #[serde(rename = "Last-Modified", default)]
    modified: Option<String>,
}

#[derive(Deserialize)]
struct BlockList {
    #[serde(rename = "CommittedBlocks", default)]
    committed: Blocks,
    #[serde(rename = "UncommittedBlocks", default)]
    uncommitted: Blocks,
}

#[derive(Deserialize, Default)]
struct Blocks {
    #[serde(rename = "Block", default)]
    blocks: Vec<ListedBlock>,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())
}

/// Reads one page of a list of objects.
///
/// # Errors
/// A description of what is wrong with it.
pub(super) fn page(body: &[u8]) -> Result<Page, String> {
    let EnumerationResults { blobs, next } = parse(body)?;
    let mut objects = Vec::new();
    for Blob { name, properties } in blobs.blobs {
        let name = if name.is_encoded {
            decoded(&name.text).ok_or_else(|| "a name that is not UTF-8".to_owned())?
        } else {
            name.text
        };
        objects.push(Listed {
            name,
            size: properties.size,
            etag: properties
                .etag
                .filter(|etag| !etag.is_empty())
                .map(|etag| if etag.starts_with('"') { etag } else { format!("\"{etag}\"") }),
            md5: properties.md5.as_deref().and_then(md5),
            modified: properties.modified.as_deref().and_then(time),
        });
    }
    Ok(Page { objects, next: next.filter(|next| !next.is_empty()) })
}

/// Reads the committed and the uncommitted blocks of an object.
///
/// # Errors
/// A description of what is wrong with the list.
pub(super) fn blocks(body: &[u8]) -> Result<(Vec<ListedBlock>, Vec<ListedBlock>), String> {
    let BlockList { committed, uncommitted } = parse(body)?;
    Ok((committed.blocks, uncommitted.blocks))
}

/// Writes the list of blocks that make an object.
pub(super) fn block_list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for id in ids {
        // Base64, so that nothing needs to be escaped.
        text.push_str("<Latest>");
        text.push_str(id);
        text.push_str("</Latest>");
    }
    text.push_str("</BlockList>");
    text
}

/// Reads an MD5 in base64.
pub(super) fn md5(text: &str) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    (Base64::decode(text.trim(), &mut out).ok()?.len() == 16).then_some(out)
}

/// Reads a time as HTTP writes it, in seconds since 1970.
pub(super) fn time(text: &str) -> Option<u64> {
    Some(httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\">\
            <Prefix>p/</Prefix><Blobs><Blob><Name> p/a &amp; b.json</Name><Snapshot/><Properties>\
            <Last-Modified>Thu, 01 Jan 1970 00:01:40 GMT</Last-Modified><Etag>0x8D</Etag>\
            <Content-Length>7</Content-Length><Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5></Properties>\
            <OrMetadata/></Blob><Blob><Name Encoded=\"true\">p/%EF%BF%BE</Name><Properties>\
            <Content-Length>0</Content-Length><Content-MD5/></Properties></Blob></Blobs><NextMarker>2!x</NextMarker>\
            </EnumerationResults>";
        let page = page(body.as_bytes()).unwrap();
        let md5 = [0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e];
        assert_eq!(
            page.objects[0],
            Listed {
                name: " p/a & b.json".to_owned(),
                size: 7,
                etag: Some("\"0x8D\"".to_owned()),
                md5: Some(md5),
                modified: Some(100)
            }
        );
        assert_eq!((page.objects[1].name.as_str(), page.objects[1].md5), ("p/\u{fffe}", None));
        assert_eq!(page.next.as_deref(), Some("2!x"));
    }

    #[test]
    fn empty_and_broken_lists() {
        let empty = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
        assert_eq!(page(empty).unwrap(), Page { objects: Vec::new(), next: None });
        for broken in [&b"<html>"[..], b"", b"\xff", b"<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>"]
        {
            assert!(page(broken).is_err());
        }
        let list = "<BlockList><CommittedBlocks/><UncommittedBlocks><Block><Name>AA==</Name><Size>5</Size></Block>\
            <Block><Name>AB==</Name><Size>6</Size></Block></UncommittedBlocks></BlockList>";
        let (committed, uncommitted) = blocks(list.as_bytes()).unwrap();
        assert!(committed.is_empty() && uncommitted.len() == 2 && uncommitted[1].size == 6);
        assert_eq!(blocks(b"<BlockList/>").unwrap(), (Vec::new(), Vec::new()));
        let written = block_list(["AA==", "AB=="].into_iter());
        assert!(written.ends_with("<BlockList><Latest>AA==</Latest><Latest>AB==</Latest></BlockList>"));
    }
}
