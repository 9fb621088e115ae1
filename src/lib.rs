//! Shardarium — decides what breaks in a search cluster that coordinates through ZooKeeper, and says which
//! promise broke, where, when and why. A simulation never touches a real network, disk or clock.
//!
//! In one process, on simulated time, it runs a *modeled ZooKeeper ensemble* and *search nodes* with real
//! tantivy indices, takes them through the faults of a scenario file, and judges the record of what happened
//! by laws. The same plan on the same build gives the same events, bit for bit.
//!
//! ```text
//! file ─read→ Scenario ─seed→ Plan ─run→ events ─judge→ verdicts ─report→ text · files
//! ```
//!
//! Each arrow is a function, each value can be printed, stored and read back. In the order of a reader's
//! questions:
//!
//! | room | decides |
//! |---|---|
//! | [`name`], [`event`], [`core`], [`defect`] | the words: identities, what can be said to have happened, what a pure core is, which historic bugs can be switched on |
//! | [`scenario`] | what will happen: files, errors that point at their place, plans, the bound within which a cluster must settle |
//! | [`sim`] | physics: hosts that drive cores, network, disks, clocks, faults, dice, the record; the only room that lies |
//! | [`zookeeper`] | the ensemble: election, Zab, log, tree, sessions, watches; the client and its recipes |
//! | [`search`] | the search cluster: discovery, controller, allocation, replication, recovery, tantivy |
//! | [`workload`] | what simulated clients ask |
//! | [`check`] | right or wrong: laws and goals, over events alone |
//! | [`trial`], [`sweep`] | plan, run and verdict in one call; many of them side by side |
//! | [`shrink`] | which smaller plan breaks the same law |
//! | [`fuzz`] | what becomes of random scenarios |
//! | [`serve`] | the ensemble for real clients: the same cores on real sockets, clock and files |
//! | [`report`], [`cli`] | showing |
//! | [`memory`] | where the binary's memory comes from |
//!
//! Absent on purpose: cores have no clock, disk, socket or randomness of their own; laws see no core; nothing
//! but `sim` and `workload` sees madsim; nothing but `search::engine` sees tantivy. A test holds this.
//!
//! # Example
//!
//! ```
//! use shardarium::{check::{law::judge, verdict::Verdict}, scenario::builtin, sim::run};
//!
//! let scenario = builtin::named("discovery").expect("a built-in scenario").scenario();
//! let record = run(&scenario.plan(7))?;
//! let judgements = judge(&record.events, &[])?;
//! assert!(judgements.iter().all(|judgement| judgement.verdict == Verdict::Pass), "{judgements:#?}");
//!
//! let again = run(&scenario.plan(7))?;
//! assert_eq!(record.fingerprint, again.fingerprint);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(madsim))]
compile_error!(
    "Shardarium runs on simulated time: build it with `--cfg madsim` (its own `.cargo/config.toml` does; in your \
     project put `[build] rustflags = [\"--cfg\", \"madsim\"]` into `.cargo/config.toml`)"
);

pub mod check;
pub mod cli;
pub mod core;
pub mod defect;
pub mod event;
pub mod fuzz;
pub mod memory;
pub mod name;
pub mod report;
pub mod scenario;
pub mod search;
pub mod serve;
pub mod shrink;
pub mod sim;
pub mod sweep;
pub mod trial;
pub mod workload;
pub mod zookeeper;
