//! Configuration — decides which configurations of the ensemble a server's disk holds. It never chooses one.
//!
//! As ZooKeeper's dynamic configuration files, one name for all versions: a proposed configuration is durable
//! before anything is logged behind it, a committed one replaces it.

use super::{Refusal, Storage, queue::Work};
use crate::{
    core::{DiskOp, Files, Output},
    zookeeper::{
        membership::{Membership, Views},
        peer::Message,
        wire::EnsembleConfig,
    },
};

/// The committed configuration.
const COMMITTED: &str = "zoo.cfg.dynamic";
/// The last one proposed, until it is committed.
const PROPOSED: &str = "zoo.cfg.dynamic.next";

/// What a booting server goes by: its files, or else the configuration it was given.
///
/// # Errors
///
/// If a file holds no configuration.
pub fn restore_views(files: &Files, given: &EnsembleConfig) -> Result<Views, Refusal> {
    let committed = read(files, COMMITTED)?.unwrap_or_else(|| Membership::initial(given));
    Ok(Views::new(committed, read(files, PROPOSED)?))
}

fn read(files: &Files, name: &'static str) -> Result<Option<Membership>, Refusal> {
    let Some(bytes) = files.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(bytes).ok().and_then(|text| Membership::read(text).ok());
    text.map(Some).ok_or(Refusal::DamagedConfiguration(name))
}

impl Storage {
    /// Writes a configuration that was proposed. What is logged from here on waits until it is durable.
    pub fn write_proposed(&mut self, proposed: &Membership, out: &mut Output<Message>) {
        self.replace(PROPOSED, proposed.to_string().into_bytes().into(), out);
        self.queue.push(Work::Barrier(PROPOSED.into()), out);
    }

    /// Writes a configuration that was committed; the proposed one goes if it is the same.
    pub fn write_committed(&mut self, views: &Views, out: &mut Output<Message>) {
        self.replace(COMMITTED, views.committed().to_string().into_bytes().into(), out);
        if !views.is_changing() {
            self.queue.push(Work::Barrier(COMMITTED.into()), out);
            self.queue.push(Work::Change(DiskOp::Remove { file: PROPOSED.into() }), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::workshop::Workshop, *};
    use crate::name::{HostId, Zxid};

    fn given() -> EnsembleConfig {
        let servers = (1..=3).map(HostId::zookeeper).collect();
        EnsembleConfig { servers, ..EnsembleConfig::default() }
    }

    fn grown(version: u64) -> Membership {
        let text = "server.1=a:1:2;3\nserver.2=b:1:2;3";
        Membership::read(text).unwrap().with_version(Zxid(version))
    }

    #[test]
    fn server_without_files_goes_by_what_it_is_given() {
        let views = restore_views(&Files::new(), &given()).unwrap();
        assert_eq!((views.committed(), views.is_changing()), (&Membership::initial(&given()), false));
    }

    /// "config file rewritten at propose (.next) and at commit".
    #[test]
    fn proposed_and_committed_configurations_are_found_again() {
        let mut workshop = Workshop::on(Files::new());
        let mut views = restore_views(&workshop.files, &given()).unwrap();
        views.see(grown(7));
        workshop.storage.write_proposed(&grown(7), &mut workshop.out);
        workshop.settle();
        assert_eq!(restore_views(&workshop.files, &given()), Ok(views.clone()));
        views.activate(grown(7));
        workshop.storage.write_committed(&views, &mut workshop.out);
        workshop.settle();
        assert_eq!(restore_views(&workshop.files, &given()), Ok(views));
        assert!(!workshop.names().contains(&PROPOSED));
    }

    #[test]
    fn damaged_configuration_refuses_to_start() {
        for name in [COMMITTED, PROPOSED] {
            let files = Files::from([(name.into(), b"server.1".as_slice().into())]);
            assert_eq!(restore_views(&files, &given()), Err(Refusal::DamagedConfiguration(name)));
        }
    }
}
