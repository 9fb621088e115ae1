//! Serve — decides how the servers of an ensemble are spoken to by real clients: the same cores that are
//! simulated elsewhere, on real sockets, the real clock and, if asked, real files. It never changes what a
//! core does.
//!
//! One thread, one loop: sockets by readiness (mio), servers by their inputs, disks once a round. The servers
//! of one process are linked by queues; clients come by TCP. Orders come by stdin and by a control port.
//!
//! Absent on purpose: TLS, SASL, quorum ports that a Java server could join.

mod clock;
mod control;
mod disk;
mod ensemble;
mod links;
mod member;
mod obey;
mod order;
mod settings;
mod socket;
mod words;

pub use self::{
    control::{ControlAddress, order},
    ensemble::{Failed, serve},
    settings::{Settings, Whitelist},
};
