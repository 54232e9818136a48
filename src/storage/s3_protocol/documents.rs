//! XML documents of the S3 protocol that object_store does not read, or reads only in part: lists of
//! objects, uploads and parts, and errors.
//!
//! The documents are untrusted. Does no I/O.

use serde::Deserialize;

/// An error document.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "PascalCase")]
pub struct Refused {
    /// Code of the protocol, for example `SlowDown`.
    pub code: String,
    /// Text for people.
    pub message: String,
}

impl Refused {
    /// Reads an error document. `None` for anything else.
    pub fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        enum Root {
            Error(Refused),
            #[serde(other)]
            Other,
        }
        match quick_xml::de::from_str(std::str::from_utf8(body).ok()?.trim_start()) {
            Ok(Root::Error(refused)) if !refused.code.is_empty() => Some(refused),
            Ok(Root::Error(_) | Root::Other) | Err(_) => None,
        }
    }
}

/// A page of a list of objects.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Objects {
    /// The objects.
    pub contents: Vec<Listed>,
    /// Whether more pages follow.
    pub is_truncated: bool,
    /// Where the next page begins.
    pub next_continuation_token: Option<String>,
}

/// An object in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Identifies its content.
    #[serde(rename = "ETag", default)]
    pub etag: Option<String>,
    /// When it was last changed.
    #[serde(default)]
    pub last_modified: String,
}

/// A page of a list of uploads that are not completed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Uploads {
    /// The uploads.
    pub upload: Vec<Begun>,
    /// Whether more pages follow.
    pub is_truncated: bool,
    /// Key at which the next page begins.
    pub next_key_marker: Option<String>,
    /// Upload at which the next page begins.
    pub next_upload_id_marker: Option<String>,
}

/// An upload in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Begun {
    /// Key of its object.
    pub key: String,
    /// Identifies it.
    pub upload_id: String,
    /// When it was begun.
    #[serde(default)]
    pub initiated: String,
}

/// A page of a list of the parts of an upload.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Parts {
    /// The parts.
    pub part: Vec<Sent>,
    /// Whether more pages follow.
    pub is_truncated: bool,
    /// Number after which the next page begins.
    pub next_part_number_marker: Option<u32>,
}

/// A part in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sent {
    /// Its number, from 1.
    pub part_number: u32,
    /// Identifies its content.
    #[serde(rename = "ETag")]
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads a document.
pub fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Option<T> {
    quick_xml::de::from_str(std::str::from_utf8(body).ok()?.trim_start()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_error_documents_are_errors() {
        let slow = br#"  <?xml version="1.0"?><Error><Code>SlowDown</Code><Message>a &lt; b</Message><X>1</X></Error>"#;
        let expected = Refused { code: "SlowDown".to_owned(), message: "a < b".to_owned() };
        assert_eq!(Refused::parse(slow), Some(expected));
        for other in [
            "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>",
            "<CompleteMultipartUploadResult><Error><Code>no</Code></Error></CompleteMultipartUploadResult>",
            "<Error></Error>",
            "Error",
            "",
            "<Error><Code>cut",
            "\u{0}",
        ] {
            assert_eq!(Refused::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Refused::parse(b"\xff<Error><Code>a</Code></Error>"), None);
    }

    #[test]
    fn lists_have_all_their_entries() {
        let objects: Objects = parse(
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
            <Contents><Key>a&amp;b//c</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>
            <Size>7</Size><StorageClass>STANDARD</StorageClass></Contents><Contents><Key>d</Key><Size>0</Size></Contents>
            <NextContinuationToken>t</NextContinuationToken></ListBucketResult>"#,
        )
        .unwrap();
        let keys: Vec<_> = objects.contents.iter().map(|one| (one.key.as_str(), one.size)).collect();
        assert_eq!(keys, [("a&b//c", 7), ("d", 0)]);
        assert_eq!(objects.contents[0].etag.as_deref(), Some("\"e\""));
        assert!(objects.is_truncated && objects.next_continuation_token.as_deref() == Some("t"));
        let none: Objects = parse(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").unwrap();
        assert!(none.contents.is_empty());
        let parts: Parts = parse(
            br#"<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker><Part>
            <PartNumber>2</PartNumber><ETag>"x"</ETag><Size>5</Size></Part></ListPartsResult>"#,
        )
        .unwrap();
        assert_eq!((parts.part[0].part_number, parts.next_part_number_marker), (2, Some(2)));
    }
}
