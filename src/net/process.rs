//! The process's own place on the machine: which core a thread runs on, what a crash may leave behind.

use std::io;

use super::sys;

/// Keeps the calling thread on the `number`th of the cores that it may run on, counted round.
///
/// # Errors
///
/// What the kernel answers; a sandbox may forbid it.
pub fn stay_on_core(number: usize) -> io::Result<()> {
    let cpus = sys::allowed_cpus()?;
    let cpu = cpus
        .get(number % cpus.len().max(1))
        .ok_or(io::ErrorKind::NotFound)?;
    sys::pin(*cpu)
}

/// Raises the number of descriptors that the process may have open as far as it may, and tells it: each relayed
/// address takes one.
///
/// # Errors
///
/// What the kernel answers.
pub fn raise_descriptors() -> io::Result<u64> {
    sys::raise_descriptors()
}

/// Forbids core dumps, which would hold keys and addresses, and inspection by the user's other processes.
///
/// # Errors
///
/// What the kernel answers.
pub fn make_undumpable() -> io::Result<()> {
    sys::make_undumpable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_it_asks_for() {
        let before = sys::allowed_cpus().unwrap();
        let last = before.len() - 1;
        let pinned = std::thread::scope(|scope| {
            let pin = || stay_on_core(last).and_then(|()| sys::allowed_cpus());
            scope.spawn(pin).join().unwrap().unwrap()
        });
        assert_eq!(pinned, [before[last]]);
        assert_eq!(
            sys::allowed_cpus().unwrap(),
            before,
            "other threads are free"
        );
    }

    #[test]
    fn descriptors_are_raised_to_a_limit_that_stays() {
        let raised = raise_descriptors().unwrap();
        assert!(raised >= 256, "{raised}");
        assert_eq!(raise_descriptors().unwrap(), raised);
    }

    #[test]
    fn a_number_beyond_the_cores_counts_round() {
        let count = sys::allowed_cpus().unwrap().len();
        let outcome =
            std::thread::scope(|scope| scope.spawn(|| stay_on_core(count)).join().unwrap());
        assert!(outcome.is_ok());
    }
}
