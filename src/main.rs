//! The binary: parses, does, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardarium::cli::main(std::env::args_os()).into()
}
