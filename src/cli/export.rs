//! Exporting — decides the steps of giving a stored run to another tool. It never runs or judges one.

use super::{
    args::{ExportArgs, ExportFormat},
    check::stored,
    exit::{Exit, Failure},
    output::{Outlet, apart, say},
};
use crate::report::export::{perfetto, shiviz};

pub(super) fn export(args: &ExportArgs) -> Result<Exit, Failure> {
    let trace = stored(&args.trace)?;
    apart(&args.trace, &[("--out", args.out.as_deref())])?;
    let outlet = args.out.as_deref().map(Outlet::open).transpose()?;
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
