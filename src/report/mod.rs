//! Reports: what a person or a program gets to see of a run. They read events and verdicts, never a core.

pub mod causality;
pub mod explain;
pub mod export;
pub mod failover;
pub mod faults;
pub mod grid;
mod health;
pub mod json;
pub mod junit;
pub mod measures;
pub mod plot;
pub mod scenario_file;
pub mod style;
pub mod text;
pub mod timeline;
pub mod trace_file;
pub mod words;
