//! Writes standard error on a separate thread, so a blocked reader does not delay exports, signals or the end.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::MultiProgress;

use crate::error::{hides, plain};

/// The maximum number of bytes waiting for the reader.
const MAX_PENDING_BYTES: usize = 1 << 20;

/// How long to wait for a blocked reader, if the buffer is full and at the end.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// There is one per process, like standard error.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    served: false,
    lines: VecDeque::new(),
    bytes: 0,
    written: 0,
    hangs: false,
    lost: 0,
});

/// Signals a change in [`WAITING`].
static CHANGED: Condvar = Condvar::new();

struct Waiting {
    /// Whether there is a thread that writes. If not, callers write directly.
    served: bool,
    lines: VecDeque<Vec<u8>>,
    /// The bytes of all waiting lines, including the one being written.
    bytes: usize,
    /// The number of lines so far.
    written: u64,
    /// Whether the reader is blocked: it has read nothing during the longest wait, and nothing since.
    hangs: bool,
    /// The number of lost lines that the log has not reported yet.
    lost: u64,
}

impl Waiting {
    fn has_room(&self, line: &[u8]) -> bool {
        self.bytes == 0 || self.bytes + line.len() <= MAX_PENDING_BYTES
    }

    fn is_done(&self) -> bool {
        self.bytes == 0 && self.lost == 0
    }
}

/// Starts the thread that writes. Progress bars are hidden while it writes a line.
pub(super) fn start(drawn: Option<MultiProgress>) {
    let serving = thread::Builder::new().name("stderr".to_owned()).spawn(move || serve(drawn.as_ref()));
    lock().served = serving.is_ok();
}

/// Queues one or more lines, which are written together. They are lost if the reader is blocked.
pub(super) fn say(line: &[u8]) {
    let mut waiting = lock();
    if !waiting.served {
        drop(waiting);
        let _ = io::stderr().lock().write_all(line);
        return;
    }
    if !waiting.has_room(line) && !waiting.hangs {
        // A slow reader loses nothing.
        let waited = CHANGED.wait_timeout_while(waiting, READER_TIMEOUT, |waiting| !waiting.has_room(line));
        let (after, result) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting = after;
        waiting.hangs = result.timed_out();
    }
    if !waiting.has_room(line) {
        waiting.lost += 1;
        return;
    }
    waiting.bytes += line.len();
    waiting.lines.push_back(line.to_vec());
    CHANGED.notify_all();
}

/// Waits until everything is written, or until the reader has read nothing for a second.
pub(super) fn flush() {
    let mut waiting = lock();
    while waiting.served && !waiting.is_done() {
        let before = waiting.written;
        let is_stuck = |waiting: &mut Waiting| !waiting.is_done() && waiting.written == before;
        let waited = CHANGED.wait_timeout_while(waiting, READER_TIMEOUT, is_stuck);
        let (after, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            return;
        }
        waiting = after;
    }
}

fn serve(drawn: Option<&MultiProgress>) {
    loop {
        let waited = CHANGED.wait_while(lock(), |waiting| waiting.lines.is_empty());
        let line = waited.unwrap_or_else(PoisonError::into_inner).lines.pop_front().unwrap_or_default();
        // Errors are ignored, because an export must not fail because of its log.
        let write = || io::stderr().lock().write_all(&line);
        let _ = drawn.map_or_else(write, |drawn| drawn.suspend(write));
        let mut waiting = lock();
        waiting.bytes -= line.len();
        waiting.written += 1;
        waiting.hangs = false;
        let lost = if waiting.lines.is_empty() { waiting.lost } else { 0 };
        CHANGED.notify_all();
        drop(waiting);
        if lost > 0 {
            tracing::warn!(lines = lost, "lines of the log were lost because they were not read in time");
            lock().lost -= lost;
            CHANGED.notify_all();
        }
    }
}

fn lock() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error for the log. Each event becomes one line.
pub(super) struct Events {
    pub(super) is_json: bool,
}

impl Write for Events {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        say(one_line(event, self.is_json).as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event as one line. In JSON, control characters are escaped already, but not those of writing direction.
fn one_line(event: &[u8], is_json: bool) -> String {
    let event = String::from_utf8_lossy(event);
    let text = event.strip_suffix('\n').unwrap_or(&event);
    let mut line = match is_json {
        false => plain(text).into_owned(),
        true => text.chars().fold(String::with_capacity(text.len() + 1), |mut line, c| {
            match hides(c) {
                true => line.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => line.push(c),
            }
            line
        }),
    };
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let event = "WARN fault=a\n2026 ERROR forged \u{202e}b\n";
        assert_eq!(one_line(event.as_bytes(), false), "WARN fault=a\\n2026 ERROR forged \\u{202e}b\n");
        assert_eq!(one_line("{\"a\":\"\u{202e}ü\"}\n".as_bytes(), true), "{\"a\":\"\\u202eü\"}\n");
    }
}
