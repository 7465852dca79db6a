//! Writes log lines from a thread of its own, so that whoever reads them cannot hold up those who write them.
//!
//! A pipe or socket that nobody empties blocks its writer: without this thread, a stuck log collector would stop the
//! relay. Lines that find no room are left out, and their number is told as soon as there is room again.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that wait at most.
const LINES_MAX: usize = 4096;

/// Where to put log lines. Clones lead to the same place.
#[derive(Clone)]
pub struct Outlet {
    lines: SyncSender<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Lines that are not written yet.
    waiting: Mutex<usize>,
    /// Told when there are none.
    settled: Condvar,
    /// Lines left out since that was last told.
    left_out: AtomicUsize,
}

impl Outlet {
    /// Starts the thread that writes to `out`. It ends with the last clone.
    ///
    /// # Errors
    ///
    /// Where there can be no other thread.
    pub fn open(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        let state = Arc::new(State::default());
        let told = Arc::clone(&state);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&queue, out, &told))?;
        Ok(Self { lines, state })
    }

    /// Waits until everything is written, but no longer than a moment: before the process ends.
    pub fn settle(&self) {
        const MOMENT: Duration = Duration::from_millis(500);
        let settled = &self.state.settled;
        let _ = settled.wait_timeout_while(self.state.waiting(), MOMENT, |waiting| *waiting > 0);
    }
}

impl Write for Outlet {
    /// Takes one line; never fails, never waits.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.state.waiting();
        if self.lines.try_send(line.to_vec()).is_ok() {
            *waiting += 1;
        } else {
            self.state.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn line_written(&self) {
        let mut waiting = self.waiting();
        *waiting -= 1;
        if *waiting == 0 {
            self.settled.notify_all();
        }
    }

    /// A number is sound whoever panicked.
    fn waiting(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(queue: &Receiver<Vec<u8>>, mut out: impl Write, state: &State) {
    for line in queue {
        // Where standard error is closed there is nobody to tell.
        let _ = out.write_all(&line);
        state.line_written();
        let lines = state.left_out.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "the log could not keep up, lines were left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    #[test]
    fn a_reader_that_is_stuck_holds_nobody_up() {
        let (mut reader, writer) = pipe().unwrap();
        let mut outlet = Outlet::open(writer).unwrap();
        let line = [b'x'; 1024];

        // More than the queue and any pipe hold.
        for _ in 0..2 * LINES_MAX {
            outlet.write_all(&line).unwrap();
        }

        assert!(outlet.state.left_out.load(Ordering::Relaxed) > 0);
        drop(outlet);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read.len() >= LINES_MAX * line.len(), "{}", read.len());
    }

    #[test]
    fn settled_lines_are_written_in_order() {
        let (mut reader, writer) = pipe().unwrap();
        let mut outlet = Outlet::open(writer).unwrap();

        for line in ["one\n", "two\n"] {
            outlet.write_all(line.as_bytes()).unwrap();
        }
        outlet.settle();

        let mut read = [0; 8];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\n");
        assert_eq!(*outlet.state.waiting(), 0);
    }

    #[test]
    fn a_closed_reader_is_no_error() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut outlet = Outlet::open(writer).unwrap();

        outlet.write_all(b"line\n").unwrap();
        outlet.settle();

        assert_eq!(*outlet.state.waiting(), 0);
    }
}
