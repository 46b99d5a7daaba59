//! The `shaper` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    shaper::cli::main(std::env::args_os())
}
