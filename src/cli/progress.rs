//! Progress on stderr: bars on a terminal, lines elsewhere, or JSON lines.
//!
//! Takes [`Event`]s from many threads. Bars appear after one second; lines are written every ten
//! seconds, JSON lines every second.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use super::world::Stderr;
use crate::base::fault::escape;
use crate::base::lock::lock;
pub use crate::base::size::show as size;
use crate::flow::{Clock, Event, Events};

/// Which progress to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Bars on a terminal, else lines
    #[default]
    Auto,
    /// Lines
    Plain,
    /// JSON lines
    Json,
    /// Warnings and errors only
    None,
}

const SHOWN_AFTER: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(1);

/// The progress display.
pub struct Progress {
    mode: Shown,
    details: bool,
    stderr: Stderr,
    clock: Arc<dyn Clock>,
    stage: Mutex<Option<Stage>>,
    // Id of the pipeline's run that all lines belong to.
    run: Mutex<Option<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bars,
    Lines,
    Json,
    Nothing,
}

struct Stage {
    name: &'static str,
    bytes: u64,
    items: u64,
    bytes_done: u64,
    items_done: u64,
    began: Duration,
    told: Duration,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Makes a display. `terminal`: stderr is one; `details`: `-v` was given.
    pub fn new(mode: Mode, terminal: bool, details: bool, stderr: Stderr, clock: Arc<dyn Clock>) -> Self {
        let mode = match mode {
            Mode::Auto if terminal => Shown::Bars,
            Mode::Auto | Mode::Plain => Shown::Lines,
            Mode::Json => Shown::Json,
            Mode::None => Shown::Nothing,
        };
        Self { mode, details, stderr, clock, stage: Mutex::new(None), run: Mutex::new(None) }
    }

    /// Removes the bar before the end of a run is shown.
    pub fn close(&self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = stage.take().and_then(|stage| stage.bar) {
            bar.finish_and_clear();
        }
    }

    /// Writes a line of JSON.
    fn json(&self, mut value: Value) {
        if let Some(run) = &*lock(&self.run) {
            value["run"] = json!(run);
        }
        self.stderr.line(&crate::report::ascii(&value.to_string()));
    }

    /// Returns a line with the id of the pipeline's run in front, if there is one.
    fn marked(&self, line: &str) -> String {
        lock(&self.run).as_ref().map_or_else(|| line.to_owned(), |run| format!("[{run}] {line}"))
    }

    fn say(&self, stage: Option<&Stage>, kind: &str, text: &str) {
        if self.mode == Shown::Json {
            self.json(json!({ "event": kind, "text": text }));
            return;
        }
        let line = format!("{}{}", if kind == "warning" { "warning: " } else { "" }, escape(text));
        let line = self.marked(&line);
        match stage.and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.suspend(|| self.stderr.line(&line)),
            None => self.stderr.line(&line),
        }
    }

    fn begin(&self, slot: &mut Option<Stage>, name: &'static str, bytes: u64, items: u64) {
        if let Some(bar) = slot.take().and_then(|stage| stage.bar) {
            bar.finish_and_clear();
        }
        let now = self.clock.elapsed();
        *slot = Some(Stage { name, bytes, items, bytes_done: 0, items_done: 0, began: now, told: now, bar: None });
        if self.mode == Shown::Json {
            self.json(json!({ "event": "stage", "name": name, "bytes": bytes, "items": items }));
        }
    }

    fn tell(&self, stage: &mut Stage) {
        let now = self.clock.elapsed();
        let every = match self.mode {
            Shown::Nothing => return,
            Shown::Bars => return stage.draw(now),
            Shown::Lines => LINE_EVERY,
            Shown::Json => JSON_EVERY,
        };
        if now.saturating_sub(stage.told) < every {
            return;
        }
        stage.told = now;
        if self.mode == Shown::Json {
            let (name, bytes, items) = (stage.name, stage.bytes_done, stage.items_done);
            self.json(json!({ "event": "progress", "name": name, "bytes": bytes, "items": items }));
        } else {
            self.stderr.line(&self.marked(&stage.line(now)));
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Stage {
    fn draw(&mut self, now: Duration) {
        if self.bar.is_none() && now.saturating_sub(self.began) >= SHOWN_AFTER {
            let bar = ProgressBar::with_draw_target(Some(self.bytes), ProgressDrawTarget::stderr());
            let form = if self.bytes == 0 {
                "{prefix} {spinner} {msg} {bytes} {rate}"
            } else {
                "{prefix} {wide_bar} {msg} {bytes}/{total_bytes} {rate} {left}"
            };
            if let Ok(style) = ProgressStyle::with_template(form) {
                // Averaged over the whole stage: the library's own estimate takes everything done
                // before the bar appeared as done in an instant.
                let rate =
                    |state: &ProgressState| (state.pos() * 1000).checked_div(millis(state.elapsed())).unwrap_or(0);
                let show_rate = move |state: &ProgressState, to: &mut dyn Write| {
                    let _ = write!(to, "{}/s", size(rate(state)));
                };
                let show_left = move |state: &ProgressState, to: &mut dyn Write| {
                    let left = state.len().unwrap_or(0).saturating_sub(state.pos());
                    if let Some(seconds) = left.checked_div(rate(state)) {
                        let _ = write!(to, "{}:{:02}", seconds / 60, seconds % 60);
                    }
                };
                bar.set_style(style.with_key("rate", show_rate).with_key("left", show_left));
            }
            bar.set_prefix(self.name);
            // Counts the time before the bar appeared too.
            self.bar = Some(bar.with_elapsed(now.saturating_sub(self.began)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes_done);
            if self.items > 0 {
                bar.set_message(format!("{}/{}", self.items_done, self.items));
            }
        }
    }

    fn line(&self, now: Duration) -> String {
        let seconds = now.saturating_sub(self.began).as_secs().max(1);
        let rate = self.bytes_done / seconds;
        let mut line = format!("{}: {}", self.name, size(self.bytes_done));
        if self.bytes > 0 {
            let _ = write!(line, " of {}", size(self.bytes));
        }
        if self.items > 0 {
            let _ = write!(line, ", {} of {}", self.items_done, self.items);
        }
        let _ = write!(line, ", {}/s", size(rate));
        if self.bytes > self.bytes_done && rate > 0 {
            let left = (self.bytes - self.bytes_done) / rate;
            let _ = write!(line, ", {}:{:02} left", left / 60, left % 60);
        }
        line
    }
}

impl Events for Progress {
    fn event(&self, event: Event) {
        let mut slot = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Stage { name, bytes, items } => self.begin(&mut slot, name, bytes, items),
            Event::Bytes(bytes) => {
                if let Some(stage) = slot.as_mut() {
                    stage.bytes_done = stage.bytes_done.saturating_add(bytes);
                    self.tell(stage);
                }
            }
            Event::Item(name) => {
                if let Some(stage) = slot.as_mut() {
                    stage.items_done += 1;
                    self.tell(stage);
                }
                if self.details {
                    self.say(slot.as_ref(), "item", &name);
                }
            }
            Event::Waiting { host, tries, left } => {
                let text = format!("waiting for {host}, try {tries}, {} s left", left.as_secs());
                self.say(slot.as_ref(), "waiting", &text);
            }
            Event::Warning(text) => self.say(slot.as_ref(), "warning", &text),
            Event::Run(run) => *lock(&self.run) = run,
            Event::Detail(text) => {
                if self.details {
                    self.say(slot.as_ref(), "detail", &text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::world::Written;
    use crate::flow::FixedClock;

    fn run(mode: Mode, details: bool) -> String {
        let (written, clock) = (Written::default(), Arc::new(FixedClock::at(0)));
        let progress = Progress::new(mode, false, details, Stderr::new(written.clone()), clock.clone());
        progress.event(Event::Stage { name: "writing", bytes: 3 << 30, items: 2 });
        progress.event(Event::Bytes(1 << 20));
        clock.sleep(Duration::from_secs(10));
        progress.event(Event::Bytes((1 << 30) - (1 << 20)));
        progress.event(Event::Bytes(1));
        progress.event(Event::Waiting {
            host: "reg.example".to_owned(),
            tries: 3,
            left: Duration::from_millis(40_900),
        });
        progress.event(Event::Warning("odd \x1b[31m".to_owned()));
        progress.event(Event::Detail("detail".to_owned()));
        progress.close();
        written.text()
    }

    #[test]
    fn lines_come_every_ten_seconds_and_warnings_always() {
        let warning = "warning: odd \\u{1b}[31m\n";
        let line = "writing: 1.0 GiB of 3.0 GiB, 0 of 2, 102.3 MiB/s, 0:20 left\n";
        let waiting = "waiting for reg.example, try 3, 40 s left\n";
        assert_eq!(run(Mode::Auto, false), format!("{line}{waiting}{warning}"));
        assert_eq!(run(Mode::None, false), format!("{waiting}{warning}"));
        assert_eq!(run(Mode::None, true), format!("{waiting}{warning}detail\n"));
    }

    #[test]
    fn t8_every_line_names_the_run_of_the_pipeline() {
        for (mode, first) in [(Mode::Plain, "[7] writing: "), (Mode::Json, "{\"bytes\":")] {
            let (written, clock) = (Written::default(), Arc::new(FixedClock::at(0)));
            let progress = Progress::new(mode, false, true, Stderr::new(written.clone()), clock.clone());
            progress.event(Event::Run(Some("7".to_owned())));
            progress.event(Event::Stage { name: "writing", bytes: 9, items: 0 });
            clock.sleep(Duration::from_secs(10));
            progress.event(Event::Bytes(1));
            progress.event(Event::Warning("odd".to_owned()));
            progress.event(Event::Detail("detail".to_owned()));
            let text = written.text();
            assert!(text.starts_with(first), "{text}");
            let marked = |line: &&str| line.starts_with("[7] ") || line.contains("\"run\":\"7\"");
            assert!(text.lines().count() >= 3 && text.lines().filter(|line| !marked(line)).count() == 0, "{text}");
            progress.event(Event::Run(None));
            progress.event(Event::Warning("last".to_owned()));
            assert!(!marked(&written.text().lines().last().unwrap()));
        }
    }

    #[test]
    fn json_lines_are_json() {
        let text = run(Mode::Json, true);
        let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["stage", "progress", "waiting", "warning", "detail"]);
        assert!(text.is_ascii() && !text.contains('\x1b'));
    }

    #[test]
    fn sizes() {
        let shown = [0, 1023, 1024, 1536, 4_294_967_295, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "3.9 GiB", "15.9 EiB"]);
    }
}
