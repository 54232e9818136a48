//! Lists of objects, of uploads that are not completed, and of their parts: signed requests of our own.
//!
//! object_store lists no uploads and no parts, and refuses a page of objects with a key that its paths do not allow.

use reqwest::Url;
use serde::de::DeserializeOwned;

use super::bucket::Bucket;
use super::documents::{self, Begun, Listed, Objects, Parts, Sent, Uploads};
use super::exchange::Step;
use super::names::encoded;
use super::refusal::Refusal;
use crate::base::time::Moment;
use crate::content::{Error, Kind};
use crate::storage::Object;

impl Bucket {
    /// Calls `each` with every object whose name begins with `prefix`.
    pub(super) fn list_objects(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Refusal> {
        let (key, subject) = (self.names.key(prefix), self.names.shown(prefix));
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", key.as_str())];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page: Objects = self.page(&subject, None, &query)?;
            let listed = page.contents.into_iter().filter_map(|listed| self.object(listed));
            listed.for_each(&mut *each);
            let next = page.next_continuation_token.filter(|_| page.is_truncated);
            if page.is_truncated && (next.is_none() || next == token) {
                return Err(endless(&subject));
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn object(&self, listed: Listed) -> Option<Object> {
        let name = self.names.name(&listed.key)?;
        let modified = seconds(&listed.last_modified);
        Some(Object { name, size: listed.size, etag: listed.etag, md5: None, modified })
    }

    /// Lists the uploads whose keys begin with `key`.
    pub(super) fn list_uploads(&self, key: &str, subject: &str) -> Result<Vec<Begun>, Refusal> {
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let mut query = vec![("uploads", ""), ("prefix", key)];
            if let Some((key, upload)) = &after {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", upload.as_str())]);
            }
            let page: Uploads = self.page(subject, None, &query)?;
            // Some stores give those of other keys too.
            found.extend(page.upload.into_iter().filter(|upload| upload.key.starts_with(key)));
            if !page.is_truncated {
                return Ok(found);
            }
            let next = page.next_key_marker.zip(page.next_upload_id_marker);
            if next.is_none() || next == after {
                return Err(endless(subject));
            }
            after = next;
        }
    }

    /// Lists the parts of an upload.
    pub(super) fn list_parts(&self, key: &str, upload: &str, subject: &str) -> Result<Vec<Sent>, Refusal> {
        let mut found: Vec<Sent> = Vec::new();
        let mut after: Option<u32> = None;
        loop {
            let marker = after.map(|after| after.to_string());
            let mut query = vec![("uploadId", upload)];
            query.extend(marker.as_deref().map(|marker| ("part-number-marker", marker)));
            let page: Parts = self.page(subject, Some(key), &query)?;
            found.extend(page.part);
            if !page.is_truncated {
                return Ok(found);
            }
            let next = page.next_part_number_marker;
            if next <= after {
                return Err(endless(subject));
            }
            after = next;
        }
    }

    /// Asks for a document about the bucket or one key.
    fn page<T: DeserializeOwned>(
        &self,
        subject: &str,
        key: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<T, Refusal> {
        let url = self.url(key, query)?;
        let step = Step::of(subject);
        let (body, _) = self.exchange.run(step, async |opened| opened.document(&url).await)?;
        documents::parse(&body).ok_or_else(|| {
            let what = format!("{subject}: expected a list in XML, found other content");
            Refusal::last(Error::new(Kind::Failed, what).help("check that the endpoint is one of this kind of store"))
        })
    }

    /// Returns the address of the bucket or of a key, with a query.
    fn url(&self, key: Option<&str>, query: &[(&str, &str)]) -> Result<Url, Error> {
        let bucket = self.address.as_str().trim_end_matches('/');
        let text = key.map_or_else(|| bucket.to_owned(), |key| format!("{bucket}/{}", encoded(key)));
        let mut url =
            Url::parse(&text).map_err(|_| Error::new(Kind::Refused, format!("{text}: expected an address")))?;
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }
}

fn endless(subject: &str) -> Refusal {
    Refusal::last(Error::new(Kind::Failed, format!("{subject}: expected the next page of the list, found the same")))
}

/// Returns the seconds since 1970 of a time in a list. Fractions of a second are dropped.
fn seconds(text: &str) -> Option<u64> {
    let whole = text.split_once('.').map_or_else(|| text.to_owned(), |(whole, _)| format!("{whole}Z"));
    u64::try_from(Moment::parse(&whole)?.unix()).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_in_lists() {
        assert_eq!(super::seconds("1970-01-01T00:01:40.123Z"), Some(100));
        assert_eq!(super::seconds("1970-01-01T00:01:40Z"), Some(100));
        assert_eq!(super::seconds(""), None);
    }
}
