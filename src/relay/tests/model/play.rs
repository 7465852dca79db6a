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
use super::operation::Op;
use super::setup::Setup;
use super::stage::{Proof, Stage};

/// Cases that are played where `VEILTURN_CASES` does not say: a few seconds' worth without optimisation.
const CASES: u64 = 500;

/// How often a failing case is played again to find a shorter one.
const SHRINKS: usize = 2_000;

#[test]
fn a_relay_does_what_its_shadow_says() {
    play(Proof::Shadow);
}

#[test]
fn the_hairpin_comes_to_the_same_as_the_wire() {
    let (cases, reached) = play(Proof::Twins);

    println!("{reached} packets of {cases} cases reached another client");
    assert!(reached >= cases, "the clients hardly reach each other");
}

/// Plays the default number of cases or those that were asked for: how many, and how often in them a client's packet
/// reached another client.
fn play(proof: Proof) -> (u64, u64) {
    if let Some(seed) = number("VEILTURN_SEED") {
        Case::draw(seed, proof, true);
        return (0, 0);
    }
    let cases = number("VEILTURN_CASES").unwrap_or(CASES);
    let reached = (0..cases).map(|seed| Case::draw(seed, proof, false)).sum();
    (cases, reached)
}

/// A seed and what followed from it.
struct Case {
    seed: u64,
    proof: Proof,
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
    /// Draws the operations of a case and plays them as they are drawn; how often a client's packet reached another one.
    ///
    /// # Panics
    ///
    /// Where they fail; the message tells how to see it again.
    fn draw(seed: u64, proof: Proof, aloud: bool) -> u64 {
        let choices = &mut Seeded(ChaCha12Rng::seed_from_u64(seed));
        let setup = Setup::draw(choices);
        let theme = Theme::draw(choices, &setup);
        let mut ops = theme.prologue(choices, &setup);
        let len = ops.len() + 40 + choices.index(80);
        if aloud {
            println!("{setup:#?}");
        }
        let mut reached = 0;
        let played = quietly(|| {
            let mut stage = Stage::new(&setup, proof);
            for index in 0..len {
                if index == ops.len() {
                    ops.push(theme.op(choices, stage.first()));
                }
                if aloud {
                    let now = stage.first().shadow.now;
                    println!("{index:3} {now:9} ms  {:?}", ops[index]);
                }
                let seen = stage.step(&ops[index]);
                if aloud && !seen.is_empty() {
                    println!("                  {seen:.200}");
                }
            }
            stage.finish();
            reached = stage.reached;
        });
        if let Err(message) = played {
            let case = Self {
                seed,
                proof,
                setup,
                ops,
            };
            panic!("{}", case.report(&message));
        }
        reached
    }

    /// Plays operations that were drawn before.
    fn play(&self, ops: &[Op]) -> Result<(), Failure> {
        let at = Cell::new(0);
        quietly(|| {
            let mut stage = Stage::new(&self.setup, self.proof);
            for (index, op) in ops.iter().enumerate() {
                at.set(index);
                stage.step(op);
            }
            at.set(ops.len());
            stage.finish();
        })
        .map_err(|message| Failure {
            at: at.get(),
            message,
        })
    }

    /// Tells of a failure, by the shortest sequence found that fails.
    fn report(&self, message: &str) -> String {
        let (ops, shortened) = self.shrink(message);
        let mut report = format!(
            "VEILTURN_SEED={} fails after {} operations: {message}\n\nShortest sequence found:\n{:#?}\n",
            self.seed,
            self.ops.len(),
            self.setup,
        );
        for (index, op) in ops.iter().enumerate() {
            writeln!(report, "{index:3} {op:?}").expect("memory");
        }
        write!(report, "{shortened}").expect("memory");
        report
    }

    /// Takes operations out, in halves at first and at last one by one, as long as what is left fails.
    fn shrink(&self, message: &str) -> (Vec<Op>, String) {
        let mut ops = self.ops.clone();
        let mut message = message.to_owned();
        let mut tries = 0;
        let mut size = ops.len().div_ceil(2);
        while size > 0 {
            let before = ops.len();
            let mut start = 0;
            while start < ops.len() && tries < SHRINKS {
                tries += 1;
                let mut fewer = ops.clone();
                fewer.drain(start..(start + size).min(ops.len()));
                match self.play(&fewer) {
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
