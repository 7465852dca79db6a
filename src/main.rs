//! The `veilturn` binary: parses the arguments, runs the verb, maps the outcome to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    veilturn::cli::main()
}
