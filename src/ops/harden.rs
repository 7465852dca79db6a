//! Keeps secrets and addresses out of what a crash leaves behind.
//!
//! The limit on core dumps (RLIMIT_CORE) and the dumpable flag (PR_SET_DUMPABLE) need system calls and are set by the
//! socket layer, which owns those, after what is here: an undumpable process may not write its own settings any more.

use std::fs;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::outlet::Outlet;

/// Makes a panic log where it happened, but nothing of what it was about: a formatted message may hold anything. Only
/// a message that is a constant of the program is shown. The log's line is written before the process ends.
pub fn hide_panic_messages(log: Outlet) {
    panic::set_hook(Box::new(move |panic| {
        tracing::error!("{}", describe(panic));
        log.settle();
    }));
}

/// Tells the kernel to leave all memory out of a core dump of this process.
///
/// # Errors
///
/// Where the kernel does not let it, or has no core dumps.
pub fn empty_core_dumps() -> io::Result<()> {
    /// One bit for each kind of mapping (core(5)).
    const NO_MAPPING: &str = "0";
    fs::write("/proc/self/coredump_filter", NO_MAPPING)
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = panic.payload().downcast_ref::<&'static str>();
    let message = message.unwrap_or(&"(message withheld)");
    match panic.location() {
        Some(place) => format!(
            "panicked in thread {thread} at {}:{}: {message}",
            place.file(),
            place.line()
        ),
        None => format!("panicked in thread {thread}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One test, because the hook is one for the whole process.
    #[test]
    fn panic_shows_place_and_constant_message_but_no_formatted_one() {
        let (constant, formatted) = (described("constant"), described("192.0.2.7"));
        let place = format!("panicked in thread one at {}:", file!());
        assert!(constant.starts_with(&place), "{constant}");
        assert!(constant.ends_with(": a constant"), "{constant}");
        assert!(formatted.starts_with(&place), "{formatted}");
        assert!(formatted.ends_with(": (message withheld)"), "{formatted}");
    }

    #[test]
    fn core_dumps_are_emptied() {
        empty_core_dumps().expect("the kernel lets a process do so");
        let filter = fs::read_to_string("/proc/self/coredump_filter").expect("readable");
        assert_eq!(filter.trim(), "00000000");
    }

    fn described(about: &'static str) -> String {
        let (sender, receiver) = mpsc::sync_channel(1);
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let _ = sender.send(describe(panic));
        }));
        let panicking = thread::Builder::new()
            .name("one".to_owned())
            .spawn(move || {
                if about == "constant" {
                    panic!("a constant");
                }
                panic!("formatted {about}");
            });
        let outcome = panicking.expect("a thread").join();
        panic::set_hook(previous);
        assert!(outcome.is_err());
        receiver.recv().expect("the hook ran")
    }
}
