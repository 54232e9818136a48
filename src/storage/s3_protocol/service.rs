//! The HTTP service under object_store: our clients, limits and rules, for the store, the token
//! services and the metadata services alike.
//!
//! Follows no redirects and repeats nothing. Plain http goes to the local machine and to metadata
//! services only.

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::header::HeaderName;
use reqwest::{Method, Request, Response, Url};

use super::documents::Refused;
use super::paced::{Meter, Paced};
use super::record::Record;
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::clients::Clients;
use crate::network::{fate, origin, retry};

/// Largest document that is read whole, in bytes. A list of 1000 keys of the longest kind has 2 MiB.
const MOST: usize = 8 << 20;
/// Largest error document that is read, in bytes.
const MOST_REFUSED: usize = 64 << 10;
/// Addresses of metadata services, which speak plain http on the machine's own network.
const METADATA: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "metadata.google.internal"];
/// Returns whether a host, with or without a port, is a metadata service.
pub fn is_metadata(host: &str) -> bool {
    METADATA.contains(&host.split(':').next().unwrap_or(host))
}

/// `Content-MD5`, RFC 1864.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Sends the requests of object_store.
#[derive(Clone)]
pub struct Service {
    /// The clients of the run.
    pub clients: Arc<Clients>,
    /// The limits of the store.
    pub meter: Meter,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl HttpConnector for Service {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let record = Record::current();
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
        record.asked(origin::authority(&url));
        let client = self.permitted(&url).map_err(|error| {
            record.note(|reply| reply.barred = Some(error.clone()));
            HttpError::new(HttpErrorKind::Unknown, error)
        })?;
        let posts = parts.method == Method::POST;
        let puts = parts.method == Method::PUT;
        let mut request = Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let content = body.collect().await?.to_bytes();
        if let Some(md5) = record.md5.filter(|_| puts)
            && let Ok(value) = Base64::encode_string(&md5).parse()
        {
            request.headers_mut().insert(CONTENT_MD5, value);
        }
        if posts || puts {
            let paced = Paced::of(content, Arc::clone(&record), self.meter.clone());
            *request.body_mut() = Some(reqwest::Body::wrap(paced));
        }
        let response = client.execute(request).await.map_err(|error| broken(&record, error))?;
        let status = response.status();
        record.note(|reply| {
            reply.status = Some(status.as_u16());
            reply.headers = response.headers().clone();
            reply.after = retry::retry_after(response.headers(), self.meter.flow.clock().unix());
        });
        let refused = status.is_client_error() || status.is_server_error();
        if refused || posts {
            return whole(&record, response, if refused { MOST_REFUSED } else { MOST }).await;
        }
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let counted = Arc::clone(&record);
        let body = Paced::new(body, counted, self.meter.clone()).map_err(move |error| broken(&record, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

impl Service {
    /// Returns the client for an address, unless our rules forbid it.
    fn permitted(&self, url: &Url) -> Result<reqwest::Client, Error> {
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "https" && !origin::is_loopback(host) && !METADATA.contains(&host) {
            let what = format!("{}: expected https, found {}", escape(&origin::authority(url)), escape(url.scheme()));
            return Err(Error::new(Kind::Policy, what)
                .help("name the store by an https address: plain http is for the local machine only"));
        }
        let name = origin::authority(url);
        let own = self.clients.host(&name)?;
        self.clients.home(&name, &own, url, false)
    }
}

/// Reads an answer whole and notes the error document in it. An answer to a POST may have one although its status
/// is 200.
async fn whole(record: &Arc<Record>, mut response: Response, most: usize) -> Result<HttpResponse, HttpError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                record.moved(chunk.len());
                body.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            Err(error) => return Err(broken(record, error)),
        }
        if body.len() > most {
            let error = Error::new(Kind::Mismatch, format!("expected at most {most} bytes, found more"));
            record.note(|reply| reply.barred = Some(error.clone()));
            return Err(HttpError::new(HttpErrorKind::Decode, error));
        }
    }
    record.note(|reply| reply.refused = Refused::parse(&body));
    // A store sends spaces while it completes an upload.
    let blanks = body.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let (parts, _) = http::Response::<reqwest::Body>::from(response).into_parts();
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(Bytes::from(body).slice(blanks..))))
}

fn broken(record: &Record, error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    record.note(|reply| reply.broken = Some(fate::look(&error)));
    HttpError::new(HttpErrorKind::Unknown, error)
}
