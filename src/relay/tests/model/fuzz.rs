//! Plays the cases that a fuzzer's bytes spell.

use super::choices::Choices;
use super::draw::Theme;
use super::driver::Driver;
use super::setup::Setup;

/// Plays the case that `bytes` spell.
///
/// # Panics
///
/// Where the relay does not do what its shadow says.
pub fn fuzz(bytes: &[u8]) {
    let mut choices = Bytes(bytes);
    let setup = Setup::draw(&mut choices);
    let theme = Theme::draw(&mut choices, &setup);
    let mut driver = Driver::new(&setup);
    for op in theme.prologue(&mut choices, &setup) {
        driver.step(&op);
    }
    while !choices.0.is_empty() {
        let op = theme.op(&mut choices, &driver);
        driver.step(&op);
    }
    driver.finish();
}

/// A fuzzer's bytes; zeros once they are used up.
struct Bytes<'a>(&'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let wanted = match bound {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let (taken, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
            % bound
    }
}
