//! Settings — decides what can be set for a served ensemble beside what any ensemble has. It never reads
//! arguments.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use super::control::ControlAddress;
use crate::zookeeper::wire::EnsembleConfig;

/// What is to be served, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ensemble.
    pub ensemble: EnsembleConfig,
    /// The client port of the first server; those after it have the ports that follow.
    pub address: SocketAddr,
    /// Where files are kept; in memory if nowhere.
    pub data: Option<PathBuf>,
    /// Where orders are taken, beside stdin.
    pub control: Option<ControlAddress>,
    /// Which four-letter words are answered.
    pub words: Whitelist,
}

/// Four-letter words that are answered (`4lw.commands.whitelist`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whitelist {
    /// Whatever is known.
    All,
    /// These.
    Only(Vec<String>),
}

impl Default for Whitelist {
    fn default() -> Self {
        Self::Only(vec!["srvr".into()])
    }
}

impl Whitelist {
    /// Whether a word is answered. Where servers can be read-only, clients may ask whether they are.
    pub fn allows(&self, word: &str, read_only: bool) -> bool {
        match self {
            Self::All => true,
            Self::Only(words) => words.iter().any(|allowed| allowed == word) || read_only && word == "isro",
        }
    }
}

impl FromStr for Whitelist {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::All);
        }
        let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
        match words.iter().find(|word| !super::words::is_known(word)) {
            Some(word) => {
                Err(format!("`{word}` is no four-letter word; write `*` or some of them: srvr,stat"))
            }
            None => Ok(Self::Only(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "4-letter words … only `srvr` allowed by default"
    #[test]
    fn stock_server_answers_srvr_alone() {
        let stock = Whitelist::default();
        assert!(stock.allows("srvr", false) && !stock.allows("ruok", false) && !stock.allows("isro", false));
        assert!(stock.allows("isro", true));
    }

    #[test]
    fn list_names_words_that_there_are() {
        assert_eq!("*".parse(), Ok(Whitelist::All));
        let two: Whitelist = "ruok, mntr".parse().unwrap();
        assert!(two.allows("mntr", false) && !two.allows("srvr", false));
        assert!("ruok,nosu".parse::<Whitelist>().unwrap_err().contains("`nosu`"));
    }
}
