//! A small server on `std::net`: one closure answers, every request is kept.
//!
//! Only for what a real registry does not do: breaking off, lying, redirecting.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as received.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Number of body bytes after which the connection is cut.
    pub cut: Option<usize>,
    /// Byte by byte, with this pause.
    pub drip: Option<Duration>,
}

/// An answer without headers.
pub fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into(), cut: None, drip: None }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A running server; its threads end with the process.
pub struct Server {
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with `answer`, whose second argument counts the earlier requests.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer).unwrap()
    }

    /// Like `start`, at an address, if this machine has it.
    pub fn start_at(address: &str, answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Option<Self> {
        Self::start_by(address, |stream| Some(Box::new(stream)), answer)
    }

    /// Like `start`, over what `accept` makes of a connection, in the connection's own thread.
    pub fn start_by(
        address: &str,
        accept: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Option<Self> {
        let listener = TcpListener::bind(address).ok()?;
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let (accept, answer) = (Arc::new(accept), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Head and body are two writes.
                drop(stream.set_nodelay(true));
                let (kept, accept, answer) = (Arc::clone(&kept), Arc::clone(&accept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    if let Some(wire) = accept(stream) {
                        serve(wire, &kept, &*answer);
                    }
                });
            }
        });
        Some(Self { host, requests })
    }

    /// Returns every request so far.
    pub fn all_requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns every request so far except pings.
    pub fn requests(&self) -> Vec<Request> {
        self.all_requests().into_iter().filter(|request| request.path != "/v2/").collect()
    }
}

/// The transport of a request: a connection, with TLS or without. Dropping it closes it.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

fn serve(wire: Box<dyn Wire>, kept: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request, usize) -> Reply) {
    let mut reader = BufReader::new(wire);
    while let Some(request) = receive(&mut reader) {
        let before = {
            let mut kept = kept.lock().unwrap();
            kept.push(request.clone());
            kept.len() - 1
        };
        let reply = answer(&request, before);
        let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
        if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            head += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
        let sent = &body[..reply.cut.unwrap_or(body.len()).min(body.len())];
        let wire = reader.get_mut();
        if wire.write_all(head.as_bytes()).is_err() {
            return;
        }
        for piece in sent.chunks(reply.drip.map_or(sent.len().max(1), |_| 1)) {
            if wire.write_all(piece).and_then(|()| wire.flush()).is_err() {
                return;
            }
            if let Some(pause) = reply.drip {
                std::thread::sleep(pause);
            }
        }
        if wire.flush().is_err() || reply.cut.is_some() {
            return;
        }
    }
}

/// Reads the next request; `None` at the end, for a broken body, and for anything but HTTP (TLS).
fn receive(reader: &mut BufReader<Box<dyn Wire>>) -> Option<Request> {
    if reader.fill_buf().ok()?.first().is_none_or(|byte| !byte.is_ascii_uppercase()) {
        drop(reader.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        return None;
    }
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}
