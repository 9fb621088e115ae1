//! The binary — decides nothing: it hands arguments in and an exit code out. It never prints.

use std::process::ExitCode;

use shardarium::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    shardarium::cli::main(std::env::args_os()).into()
}
