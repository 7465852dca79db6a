//! Any sequence of operations on a relay in virtual time: it does what its shadow says, its parts agree after each one,
//! and packets that were tampered with change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| veilturn::relay::fuzz(bytes));
