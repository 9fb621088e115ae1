//! Documents — decides whether clients can rely on what they were told of their writes, and on what they
//! read. It never looks at what copies do, except at the end.

mod drawn;
mod durable;
mod linearizable;
mod model;
mod realtime;
mod stale;
mod usurped;

pub(super) use drawn::DRAWN;
pub(super) use durable::DURABLE;
pub(super) use linearizable::LINEARIZABLE;
pub(super) use realtime::REALTIME;
pub(super) use stale::STALE;
