//! The world, on madsim: hosts, network, disks, clocks, faults. The only room that lies.

pub mod boot;
pub mod client;
pub mod clock;
pub mod dice;
pub mod disk;
pub mod fault;
mod halt;
mod host;
pub mod inbox;
pub mod net;
pub mod roles;
pub mod run;
mod step;
pub mod trace;
pub mod wire;
pub mod world;

pub use run::{EarlyEnd, Extensions, Figures, Run, RunError, run, run_with, run_within};
