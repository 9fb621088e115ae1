//! The command line — decides what a person or a script can ask for, and which exit code answers. It never
//! decides what happens in a run.

mod args;
mod bench;
mod canary;
mod check;
mod exit;
mod export;
mod fuzz;
mod list;
mod merge;
mod output;
mod progress;
mod run;
mod serve;
mod shrink;
mod source;
mod summary;
mod sweep;

use std::ffi::OsString;

use clap::Parser;

pub use self::exit::{Exit, Failure};
use self::{
    args::{Cli, Command, RunArgs},
    output::say,
};
use crate::{scenario::schema, trial::Machine};

/// Does what the arguments (the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    main_with(arguments, Machine::default())
}

/// The same on another machine.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>, machine: Machine) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => perform(cli.command, &arguments, machine).unwrap_or_else(|failure| {
            anstream::eprintln!("{}", failure.message().trim_end());
            failure.exit()
        }),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Fine }
        }
    }
}

fn perform(command: Option<Command>, arguments: &[OsString], machine: Machine) -> Result<Exit, Failure> {
    match command.unwrap_or(Command::Run(RunArgs::default())) {
        Command::Run(args) => run::run(&args, machine),
        Command::Replay(args) => run::replay(&args, machine),
        Command::Fuzz(args) => fuzz::fuzz(&args, machine),
        Command::Shrink(args) => shrink::shrink(&args, machine),
        Command::Check(args) => check::check(&args),
        Command::Sweep(args) => sweep::sweep(&args, arguments, machine),
        Command::Export(args) => export::export(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::List { topic } => say(&list::list(topic)).map(|()| Exit::Fine),
        Command::Schema => say(&format!("{:#}\n", schema::schema())).map(|()| Exit::Fine),
        Command::Bench(args) => bench::bench(&args, machine),
        Command::Serve(args) => serve::serve(&args),
        Command::Control(args) => serve::control(&args),
    }
}
