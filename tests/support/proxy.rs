//! A proxy in front of a store: passes requests on as they are, unless the test decides otherwise.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::server::{Reply, Request, Server, reply};

/// Starts a proxy. `change` sees every request first and may change it or answer it.
pub fn start(store: &str, change: impl Fn(&mut Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    watched(store, change, |_, reply| reply)
}

/// Starts a proxy. `after` sees every answer of the store and may change it.
pub fn watched(
    store: &str,
    change: impl Fn(&mut Request) -> Option<Reply> + Send + Sync + 'static,
    after: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> Server {
    let store = store.to_owned();
    Server::start(move |request, _| {
        let mut request = request.clone();
        if let Some(own) = change(&mut request) {
            return own;
        }
        match pass(&store, &request) {
            Ok(reply) => after(&request, reply),
            Err(error) => reply(502, error.to_string()),
        }
    })
}

/// An answer that never arrives whole.
pub fn lost() -> Reply {
    Reply { cut: Some(0), ..reply(200, "lost") }
}

fn pass(store: &str, request: &Request) -> io::Result<Reply> {
    let mut sent = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        // The host is signed, so it stays that of the proxy.
        if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding") {
            write!(sent, "{name}: {value}\r\n")?;
        }
    }
    write!(sent, "Content-Length: {}\r\n\r\n", request.body.len())?;
    sent.extend_from_slice(&request.body);
    exchange(store, &sent, request.method == "HEAD")
}

/// Sends a request that closes its connection, and reads the answer.
pub fn exchange(host: &str, request: &[u8], is_head: bool) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(host)?;
    // A store may answer before it has read everything.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let cut = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..cut]).into_owned();
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = answer[cut + 4..].to_vec();
    let mut headers = Vec::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "transfer-encoding" => body = unchunked(&body),
            "connection" => {}
            "content-length" if !is_head => {}
            _ => headers.push((&*name.leak(), value.to_owned())),
        }
    }
    Ok(Reply { status, headers, body, cut: None, drip: None })
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}
