//! `serve` beside distribution 3 and docker-registry 2.8 on the same content: manifest requests a
//! second, throughput of a large blob for one and for 16 clients, waiting times under 200 clients,
//! start-up and memory; and the cache's first byte beside a direct pull from an upstream that is some
//! milliseconds away, as upstreams are.
//!
//! `PACKMULE_BENCH_SERVE_MIB` sets the size of the large blob (2048).

use super::{Bench, float};
use crate::corpus::bulk;
use crate::corpus::layout::{Kind, Layout};
use crate::services::{Services, registry};
use crate::shell::{self, Failed};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time for which manifests are asked for.
const PERIOD: Duration = Duration::from_secs(3);
/// Number of images pulled through the cache.
const PULLS: usize = 30;
/// Time that a byte takes from or to a distant upstream.
const DISTANCE: Duration = Duration::from_millis(10);

/// Content that is asked for.
struct Content {
    name: String,
    manifest: String,
    blob: String,
    bytes: u64,
    /// Layers of the small images.
    small: Vec<String>,
}

/// Results of one server.
#[derive(Clone, Copy)]
struct Row {
    requests: f64,
    one: f64,
    many: f64,
    p99: f64,
    peak: f64,
}

/// A process that serves, ended on drop.
struct Serving {
    child: Child,
    address: String,
    start: f64,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self(BufReader::with_capacity(256 << 10, stream)))
    }

    /// Asks for `path`. Returns the length of the body and the time to its first byte.
    fn get(&mut self, path: &str) -> Result<(u64, f64), Failed> {
        const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let begin = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: {ACCEPT}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        if !line.contains(" 200 ") {
            return Err(Failed::new(format!("bench: {path}: {line}")));
        }
        let mut length = None;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<u64>().ok();
            }
        }
        let length = length.ok_or_else(|| Failed::new(format!("bench: {path}: no length")))?;
        let mut first = None;
        let (mut left, mut buffer) = (length, vec![0; 256 << 10]);
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = self.0.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(Failed::new(format!("bench: {path}: broke off")));
            }
            first = first.or_else(|| Some(begin.elapsed().as_secs_f64()));
            left -= count as u64;
        }
        Ok((length, first.unwrap_or_else(|| begin.elapsed().as_secs_f64())))
    }
}

/// Runs `work` on `count` threads, which get a result each.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> Result<T, Failed> + Sync) -> Result<Vec<T>, Failed> {
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..count {
            let (results, work) = (&results, &work);
            scope.spawn(move || {
                let result = work(number);
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
            });
        }
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().collect()
}

/// Measures one server.
fn measure(address: &str, content: &Content, pid: u32) -> Result<Row, Failed> {
    let manifest = format!("/v2/{}/manifests/{}", content.name, content.manifest);
    let blob = format!("/v2/{}/blobs/{}", content.name, content.blob);
    let requests = |clients: usize| {
        at_once(clients, |_| {
            let (mut client, begin, mut times) = (Client::open(address)?, Instant::now(), Vec::new());
            while begin.elapsed() < PERIOD {
                let one = Instant::now();
                client.get(&manifest)?;
                times.push(one.elapsed().as_secs_f64());
            }
            Ok(times)
        })
    };
    let few: usize = requests(8)?.iter().map(Vec::len).sum();
    let mut times: Vec<f64> = requests(200)?.concat();
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::INFINITY);
    let rate = |clients: usize| -> Result<f64, Failed> {
        let begin = Instant::now();
        at_once(clients, |_| Client::open(address)?.get(&blob))?;
        Ok(float(content.bytes) * float(clients as u64) / begin.elapsed().as_secs_f64() / 1e9)
    };
    rate(1)?;
    let row = Row {
        requests: float(few as u64) / PERIOD.as_secs_f64(),
        one: rate(1)?,
        many: rate(16)?,
        p99: p99 * 1000.0,
        peak: peak(pid)?,
    };
    Ok(row)
}

/// Returns the peak memory of a process in MiB.
fn peak(pid: u32) -> Result<f64, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| Failed::new("bench: no VmHWM"))
}

/// Returns the address of a server that is `host`, [`DISTANCE`] away in each direction. Its threads end
/// with the process.
fn distant(host: &str) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, host) = (listener.local_addr()?.to_string(), host.to_owned());
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&host) else { continue };
            let ways = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
            for (from, to) in ways {
                if let (Ok(from), Ok(to)) = (from, to) {
                    std::thread::spawn(move || delayed(from, to));
                }
            }
        }
    });
    Ok(address)
}

/// Passes bytes on, each after [`DISTANCE`].
fn delayed(mut from: TcpStream, mut to: TcpStream) {
    drop(to.set_nodelay(true));
    let (sender, pieces) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = std::thread::spawn(move || {
        for (due, piece) in pieces {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Write));
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + DISTANCE, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    drop(writer.join());
}

impl Bench {
    /// Starts `packmule serve`.
    fn serving(&self, args: &[&str]) -> Result<Serving, Failed> {
        let begin = Instant::now();
        let mut command = shell::command(&self.packmule);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stderr.take().ok_or_else(|| Failed::new("bench: no stderr"))?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                return Err(Failed::new("bench: serve ended"));
            }
            if let Some((_, address)) = line.trim_end().rsplit_once("://") {
                break address.to_owned();
            }
        };
        let start = begin.elapsed().as_secs_f64();
        // The access log is read, so that it never blocks.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(Serving { child, address, start })
    }

    /// Makes a layout with one image whose layer has `mib` MiB, and small images `p0`, `p1`, ...
    fn served(&self, mib: u64) -> Result<(PathBuf, Content), Failed> {
        let (dir, file) = (self.work.join("served"), self.work.join("layer"));
        let mut layout = Layout::new(&dir)?;
        let config = layout.bytes(
            "application/vnd.oci.image.config.v1+json",
            b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
        )?;
        let mut out = std::fs::File::create(&file)?;
        let (mut state, mut block) = (7, vec![0; 1 << 20]);
        for _ in 0..mib {
            bulk::fill(&mut state, &mut block);
            out.write_all(&block)?;
        }
        drop(out);
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let layer = layout.file(kind, &file)?;
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let image = |layer: &serde_json::Value| serde_json::json!({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer]});
        let top = layout.document(manifest, &image(&layer))?;
        layout.publish("bench/big", Some("1"), &top, Kind("image"), None);
        let text = |value: &serde_json::Value| value["digest"].as_str().unwrap_or_default().to_owned();
        let mut smalls = Vec::new();
        for number in 0..PULLS {
            let small = layout.bytes(kind, format!("layer {number}").repeat(1000).as_bytes())?;
            let document = layout.document(manifest, &image(&small))?;
            layout.publish(&format!("bench/p{number}"), Some("1"), &document, Kind("image"), None);
            smalls.push(text(&small));
        }
        layout.finish()?;
        let content = Content {
            name: "bench/big".into(),
            manifest: text(&top),
            blob: text(&layer),
            bytes: mib << 20,
            small: smalls,
        };
        Ok((dir, content))
    }

    /// Compares `serve` with both registries.
    pub(super) fn serve(&mut self) -> Result<(), Failed> {
        let mib = std::env::var("PACKMULE_BENCH_SERVE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(2048);
        self.clear()?;
        let (layout, content) = self.served(mib)?;
        let (key, public) = self.key()?;
        let (bundle, _) = self.export(&[format!("oci:{}", layout.display())], &key, &["--no-read-back"])?;
        let mut rows = Vec::new();
        for (name, program) in [("distribution", "registry"), ("docker-registry", "docker-registry")] {
            let mut running = Services::none("serve")?;
            let host = registry::start(&mut running, &self.tools, program, name, &registry::Access::Open)?.to_string();
            self.packmule(&["import", &bundle, "--key", &public, "--to", &host])?;
            let pid = running.pid().ok_or_else(|| Failed::new("bench: no process"))?;
            rows.push((name, measure(&host, &content, pid)?));
            if program == "registry" {
                self.first_bytes(&host, &content)?;
            }
        }
        let serving = self.serving(&[&bundle, "--key", &public])?;
        let own = measure(&serving.address, &content, serving.child.id())?;
        drop(serving);
        rows.push(("packmule", own));
        for (name, row) in &rows {
            println!(
                "{name:16} {:8.0} manifests/s, {:.2} GB/s for one, {:.2} GB/s for 16, p99 of 200 {:.1} ms, peak {:.0} MiB",
                row.requests, row.one, row.many, row.p99, row.peak
            );
        }
        let best = |pick: fn(&Row) -> f64| rows[..2].iter().map(|(_, row)| pick(row)).fold(0.0, f64::max);
        self.at_least("serve: manifests/s, of the better of the others", own.requests / best(|row| row.requests), 1.0);
        self.at_least("serve: GB/s for one client, of the better of the others", own.one / best(|row| row.one), 1.0);
        self.at_least("serve: GB/s for 16 clients, of the better of the others", own.many / best(|row| row.many), 1.0);
        let least = |pick: fn(&Row) -> f64| rows[..2].iter().map(|(_, row)| pick(row)).fold(f64::INFINITY, f64::min);
        self.at_most("serve: p99 under 200 clients, of the better of the others", own.p99 / least(|row| row.p99), 1.0);
        self.at_most("serve: peak MiB", own.peak, 200.0);
        Ok(())
    }

    /// Compares the first byte of a pull through an empty cache with that of a direct one: from an upstream
    /// on this machine, for information, and from a distant one.
    fn first_bytes(&mut self, host: &str, content: &Content) -> Result<(), Failed> {
        self.first_bytes_from("this machine", host, content)?;
        let far = distant(host)?;
        for (what, ratio) in self.first_bytes_from("10 ms away", &far, content)? {
            self.at_most(&format!("cache: first byte of a {what} / direct"), ratio, 1.2);
        }
        Ok(())
    }

    /// Returns the ratio for manifests and for blobs.
    fn first_bytes_from(&self, place: &str, host: &str, content: &Content) -> Result<[(&'static str, f64); 2], Failed> {
        let rules = self.work.join("rules.toml");
        std::fs::write(&rules, format!("[rule.up]\nsource = \"{host}/*\"\ntarget = \"up/*\"\n"))?;
        let dir = self.work.join("cache");
        drop(std::fs::remove_dir_all(&dir));
        let (cache, rules) = (dir.display().to_string(), rules.display().to_string());
        let serving = self.serving(&["--cache", &cache, "--config", &rules])?;
        let median = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let pull = |address: &str, prefix: &str| -> Result<[f64; 2], Failed> {
            let mut client = Client::open(address)?;
            let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
            for (number, blob) in content.small.iter().enumerate() {
                manifests.push(client.get(&format!("/v2/{prefix}bench/p{number}/manifests/1"))?.1);
                blobs.push(client.get(&format!("/v2/{prefix}bench/p{number}/blobs/{blob}"))?.1);
            }
            Ok([median(manifests), median(blobs)])
        };
        pull(host, "")?;
        let (direct, through) = (pull(host, "")?, pull(&serving.address, "up/")?);
        let mut ratios = [("manifest", 0.0), ("blob", 0.0)];
        for (at, (what, ratio)) in ratios.iter_mut().enumerate() {
            *ratio = through[at] / direct[at];
            println!(
                "first byte of a {what}, upstream {place}: direct {:.2} ms, through the cache {:.2} ms",
                direct[at] * 1e3,
                through[at] * 1e3
            );
        }
        Ok(ratios)
    }

    /// Measures the start-up on a sparse bundle of 10 GiB.
    pub(super) fn serve_start(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let (key, public) = self.key()?;
        let (bundle, _) = self.export(&[format!("oci:{}", layout.display())], &key, &["--no-read-back"])?;
        let serving = self.serving(&[&bundle, "--key", &public])?;
        self.at_most("serve: start-up on 10 GiB, s", serving.start, 0.5);
        Ok(())
    }
}
