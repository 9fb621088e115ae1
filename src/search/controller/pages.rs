//! Pages — decides when a controller has read both znodes that it writes: the state and the settings. It never
//! decides what follows from them.

use super::super::discovery::{SETTINGS, STATE};
use crate::zookeeper::{
    client::{Client, ClientNews},
    recipes::FreshRead,
    wire::{Data, Stat},
};

/// What a znode held, and its Stat.
pub(super) type Page = (Data, Stat);

/// Both znodes.
#[derive(Debug)]
pub(super) struct Both {
    /// `/shardarium/state`.
    pub(super) state: Page,
    /// `/shardarium/settings`.
    pub(super) settings: Page,
}

/// Reads them, each behind a sync.
#[derive(Debug)]
pub(super) struct Pages {
    state: FreshRead,
    settings: FreshRead,
    found: (Option<Page>, Option<Page>),
}

impl Pages {
    /// Nothing is being read.
    pub(super) fn new() -> Self {
        Self { state: FreshRead::new(STATE), settings: FreshRead::new(SETTINGS), found: (None, None) }
    }

    /// Begins to read both.
    pub(super) fn begin(&mut self, client: &mut Client) {
        self.found = (None, None);
        self.state.begin(client);
        self.settings.begin(client);
    }

    /// Wants nothing more.
    pub(super) fn stop(&mut self) {
        self.state.stop();
        self.settings.stop();
    }

    /// Takes a piece of news; returns both once both are there.
    pub(super) fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Both> {
        let state = self.state.news(client, news);
        let settings = self.settings.news(client, news);
        if state.is_none() && settings.is_none() {
            return None;
        }
        self.found = (state.or(self.found.0.take()), settings.or(self.found.1.take()));
        match std::mem::take(&mut self.found) {
            (Some(state), Some(settings)) => Some(Both { state, settings }),
            found => {
                self.found = found;
                None
            }
        }
    }
}
