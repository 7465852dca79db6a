//! What a server costs: its processor time and its memory, as the kernel tells them under `/proc`.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Reads what a process has used, or one thread of this one.
pub(super) struct Meter {
    /// Its folder under `/proc`.
    folder: PathBuf,
    /// The name of the thread that counts; all do where there is none.
    thread: Option<&'static str>,
}

/// What each thread has used so far.
pub(super) struct Reading(Vec<Thread>);

/// What a thread has used, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    number: u32,
    /// Processor time.
    ran: u64,
    /// How long it was ready to run while others had its core.
    waited: u64,
}

/// What was used between two readings, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time of all threads.
    pub(super) total: u64,
    /// Processor time of the thread that used most.
    pub(super) busiest: u64,
    /// How long that thread was ready to run while others had its core.
    pub(super) waited: u64,
}

impl Meter {
    /// Meters a process.
    ///
    /// # Errors
    ///
    /// Where there is no such process, or it may not be looked at.
    pub(super) fn process(pid: u32) -> io::Result<Self> {
        let meter = Self {
            folder: PathBuf::from(format!("/proc/{pid}")),
            thread: None,
        };
        meter.read().map(|_| meter)
    }

    /// Meters the thread of this process that has that name.
    pub(super) fn thread(name: &'static str) -> Self {
        Self {
            folder: PathBuf::from("/proc/self"),
            thread: Some(name),
        }
    }

    /// How long the calling thread was ready to run so far while others had its core, in nanoseconds.
    pub(super) fn waited() -> u64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Thread::read(0, &text).map_or(0, |thread| thread.waited)
    }

    /// Reads the processor time.
    ///
    /// # Errors
    ///
    /// Where the process is gone.
    pub(super) fn read(&self) -> io::Result<Reading> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(self.folder.join("task"))? {
            let folder = entry?.path();
            let name = folder.file_name().and_then(|name| name.to_str());
            let Some(number) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may end while its process is read.
            let file = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            if self
                .thread
                .is_some_and(|thread| file("comm").trim_end() != thread)
            {
                continue;
            }
            threads.extend(Thread::read(number, &file("schedstat")));
        }
        Ok(Reading(threads))
    }

    /// The memory that it has in use, in bytes; `None` for a single thread, or where the kernel does not tell.
    pub(super) fn resident(&self) -> Option<u64> {
        if self.thread.is_some() {
            return None;
        }
        let status = fs::read_to_string(self.folder.join("status")).ok()?;
        resident(&status)
    }
}

impl Reading {
    /// What was used since an earlier reading. Threads that began in between count in full.
    pub(super) fn since(&self, earlier: &Self) -> Usage {
        let mut usage = Usage::default();
        for thread in &self.0 {
            let same = |other: &&Thread| other.number == thread.number;
            let before = earlier.0.iter().find(same);
            let ran = thread
                .ran
                .saturating_sub(before.map_or(0, |thread| thread.ran));
            usage.total += ran;
            if ran > usage.busiest {
                usage.busiest = ran;
                usage.waited = thread
                    .waited
                    .saturating_sub(before.map_or(0, |thread| thread.waited));
            }
        }
        usage
    }
}

impl Thread {
    /// Reads the text of a `schedstat` file.
    fn read(number: u32, text: &str) -> Option<Self> {
        let mut figures = text.split(' ').map(|figure| figure.trim().parse().ok());
        Some(Self {
            number,
            ran: figures.next()??,
            waited: figures.next()??,
        })
    }
}

/// The resident memory in the text of a `status` file, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let meter = Meter::process(std::process::id()).unwrap();
        let reading = meter.read().unwrap();

        assert!(reading.since(&Reading(Vec::new())).total > 0);
        assert_eq!(reading.since(&reading), Usage::default());
        assert!(meter.resident().unwrap() > 100_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        assert!(Meter::process(u32::MAX).is_err());
    }

    #[test]
    fn new_threads_count_in_full_and_the_busiest_is_known() {
        let reading = |threads: &[(u32, u64, u64)]| {
            let thread = |&(number, ran, waited): &(u32, u64, u64)| Thread {
                number,
                ran,
                waited,
            };
            Reading(threads.iter().map(thread).collect())
        };
        let before = reading(&[(1, 100, 10), (2, 50, 0)]);
        let after = reading(&[(1, 130, 14), (2, 55, 90), (3, 7, 0)]);

        let expected = Usage {
            total: 42,
            busiest: 30,
            waited: 4,
        };
        assert_eq!(after.since(&before), expected);
    }

    #[test]
    fn the_kernels_figures_are_read_in_their_order() {
        let expected = Thread {
            number: 7,
            ran: 123,
            waited: 45,
        };
        assert_eq!(Thread::read(7, "123 45 6\n"), Some(expected));
        assert_eq!(Thread::read(7, ""), None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
