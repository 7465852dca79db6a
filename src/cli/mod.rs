//! The verbs of the command line, one file a verb.

pub mod check;

use std::process::ExitCode;

/// Parses the arguments, runs the verb and maps its outcome to an exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
