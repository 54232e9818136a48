//! A bucket as a container.

use object_store::path::Path;

use super::bucket::Bucket;
use super::documents::Begun;
use super::exchange::Step;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::storage::{Condition, Container, Object, Unfinished, Upload, Uploaded};

impl Container for Bucket {
    fn shown(&self, name: &str) -> String {
        self.names.shown(name)
    }

    fn head(&self, name: &str) -> Result<Option<Object>, Error> {
        self.clean(self.find(name)).map(|found| found.map(|found| found.object))
    }

    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.clean(self.fill(name, etag, offset, buffer))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        self.clean(self.list_objects(prefix, each))
    }

    fn put(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Error> {
        self.clean(self.write(name, content, condition))
    }

    fn upload(&self, upload: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Error> {
        self.clean(self.send(upload, flow))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.clean(self.delete(name))
    }

    fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error> {
        let begun = self.clean(self.list_uploads(&self.names.key(prefix), &self.names.shown(prefix)))?;
        let unfinished = |upload: Begun| {
            Some(Unfinished { name: self.names.name(&upload.key)?, id: Some(upload.upload_id), size: None })
        };
        Ok(begun.into_iter().filter_map(unfinished).collect())
    }

    fn discard(&self, unfinished: &Unfinished) -> Result<(), Error> {
        let subject = self.names.shown(&unfinished.name);
        let Some(id) = unfinished.id.clone() else {
            return Err(Error::new(Kind::Refused, format!("{subject}: expected the id of an upload, found none")));
        };
        // The key comes from a list, so it may be one that we would not write.
        let path = Path::from_iter(self.names.key(&unfinished.name).split('/'));
        let step = Step::of(&subject);
        let done = self.exchange.run(step, async |opened| opened.parts.abort_multipart(&path, &id).await);
        match done {
            Err(refusal) if !refusal.is_gone() => self.clean(Err(refusal)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
