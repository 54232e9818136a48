//! A proxy in front of a registry that counts what clients send: requests and bytes.

use crate::shell::Failed;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// End of every request line; only HTTP/1.1 passes here.
const END: &[u8] = b" HTTP/1.1\r\n";

/// Counts of what clients sent.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A running proxy; its threads end with the process.
pub struct Counter {
    /// Address for clients.
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

impl Counter {
    /// Starts a proxy in front of `target`.
    pub fn start(target: SocketAddr) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let counts: Arc<Counts> = Arc::default();
        let own = Arc::clone(&counts);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&own);
                std::thread::spawn(move || drop(pass(client, target, &counts)));
            }
        });
        Ok(Self { address, counts })
    }

    /// Returns the requests and bytes since the last call.
    pub fn take(&self) -> (u64, u64) {
        (self.counts.requests.swap(0, Ordering::Relaxed), self.counts.bytes.swap(0, Ordering::Relaxed))
    }
}

fn pass(mut client: TcpStream, target: SocketAddr, counts: &Counts) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    let mut buffer = vec![0; 64 << 10];
    // The end of a request line may come in two parts.
    let mut seen: Vec<u8> = Vec::new();
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return server.shutdown(Shutdown::Write);
        }
        server.write_all(&buffer[..count])?;
        counts.bytes.fetch_add(count as u64, Ordering::Relaxed);
        seen.extend(&buffer[..count]);
        let found = seen.windows(END.len()).filter(|window| *window == END).count();
        counts.requests.fetch_add(found as u64, Ordering::Relaxed);
        let keep = seen.len().min(END.len() - 1);
        seen.drain(..seen.len() - keep);
    }
}
