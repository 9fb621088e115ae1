//! Exporting — decides the steps of giving a stored run to another tool. It never runs or judges one.

use std::{fs, io::BufReader};

use super::{
    args::{ExportArgs, ExportFormat},
    exit::{Exit, Failure},
    output::{Outlet, say},
};
use crate::report::{
    export::{perfetto, shiviz},
    trace_file,
};

pub(super) fn export(args: &ExportArgs) -> Result<Exit, Failure> {
    let name = args.trace.display();
    let file = fs::File::open(&args.trace)
        .map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?;
    let outlet = args.out.as_deref().map(Outlet::open).transpose()?;
    let trace = trace_file::read(BufReader::new(file))
        .map_err(|error| Failure::usage(format!("error: {name}: {error}")))?;
    let write = match args.format {
        ExportFormat::Shiviz => shiviz::write,
        ExportFormat::Perfetto => perfetto::write,
    };
    match outlet {
        Some(outlet) => outlet.fill(|out| write(out, &trace.events))?,
        None => {
            let mut text = Vec::new();
            write(&mut text, &trace.events)
                .map_err(|error| Failure::Unfinished(format!("error: stdout: {error}")))?;
            say(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(Exit::Fine)
}
