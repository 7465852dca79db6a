//! Plays cases from seeds, and makes a failing one small.

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::choices::Choices;
use super::draw::Theme;
use super::driver::Driver;
use super::operation::Op;
use super::setup::Setup;

/// Cases that are played where `VEILTURN_CASES` does not say: a few seconds' worth without optimisation.
const CASES: u64 = 500;

/// How often a failing case is played again to find a shorter one.
const SHRINKS: usize = 2_000;

#[test]
fn a_relay_does_what_its_shadow_says() {
    if let Some(seed) = number("VEILTURN_SEED") {
        let case = Case::of(seed);
        println!("{:#?}", case.setup);
        if let Err(failure) = case.play(&case.ops, true) {
            panic!("{}", case.report(&failure));
        }
        return;
    }
    for seed in 0..number("VEILTURN_CASES").unwrap_or(CASES) {
        let case = Case::of(seed);
        if let Err(failure) = case.play(&case.ops, false) {
            panic!("{}", case.report(&failure));
        }
    }
}

/// A seed and what follows from it.
struct Case {
    seed: u64,
    setup: Setup,
    ops: Vec<Op>,
}

/// Where a sequence fails, and how.
struct Failure {
    /// The index of the operation; their number, where only the end fails.
    at: usize,
    message: String,
}

impl Case {
    fn of(seed: u64) -> Self {
        let choices = &mut Seeded(ChaCha12Rng::seed_from_u64(seed));
        let setup = Setup::draw(choices);
        let theme = Theme::draw(choices, &setup);
        let mut ops = theme.prologue(choices, &setup);
        for _ in 0..40 + choices.index(80) {
            ops.push(theme.op(choices));
        }
        Self { seed, setup, ops }
    }

    fn play(&self, ops: &[Op], aloud: bool) -> Result<(), Failure> {
        let at = Cell::new(0);
        quietly(|| {
            let mut driver = Driver::new(&self.setup);
            for (index, op) in ops.iter().enumerate() {
                at.set(index);
                if aloud {
                    println!("{index:3} {:9} ms  {op:?}", driver.shadow.now);
                }
                let seen = driver.step(op);
                if aloud && !seen.is_empty() {
                    println!("                  {seen:.200}");
                }
            }
            at.set(ops.len());
            driver.finish();
        })
        .map_err(|message| Failure {
            at: at.get(),
            message,
        })
    }

    /// Tells of a failure, by the shortest sequence found that fails.
    fn report(&self, failure: &Failure) -> String {
        let (ops, message) = self.shrink(failure);
        let mut report = format!(
            "VEILTURN_SEED={} fails at operation {} of {}: {}\n\nShortest sequence found:\n{:#?}\n",
            self.seed,
            failure.at,
            self.ops.len(),
            failure.message,
            self.setup,
        );
        for (index, op) in ops.iter().enumerate() {
            writeln!(report, "{index:3} {op:?}").expect("memory");
        }
        write!(report, "{message}").expect("memory");
        report
    }

    /// Takes operations out, in halves at first and at last one by one, as long as what is left fails.
    fn shrink(&self, failure: &Failure) -> (Vec<Op>, String) {
        let mut ops = self.ops.clone();
        ops.truncate(failure.at + 1);
        let mut message = failure.message.clone();
        let mut tries = 0;
        let mut size = ops.len().div_ceil(2);
        while size > 0 {
            let before = ops.len();
            let mut start = 0;
            while start < ops.len() && tries < SHRINKS {
                tries += 1;
                let mut fewer = ops.clone();
                fewer.drain(start..(start + size).min(ops.len()));
                match self.play(&fewer, false) {
                    Ok(()) => start += size,
                    Err(failure) => {
                        fewer.truncate(failure.at + 1);
                        ops = fewer;
                        message = failure.message;
                    }
                }
            }
            if size > 1 {
                size /= 2;
            } else if ops.len() == before || tries >= SHRINKS {
                size = 0;
            }
        }
        (ops, message)
    }
}

/// The numbers that follow from a seed.
struct Seeded(ChaCha12Rng);

impl Choices for Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

/// Runs something that may panic, and keeps the panic's message from the terminal.
fn quietly(run: impl FnOnce()) -> Result<(), String> {
    thread_local! {
        static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                HEARD.set(Some(info.to_string()));
            } else {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    done.map_err(|_| HEARD.take().unwrap_or_default())
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
