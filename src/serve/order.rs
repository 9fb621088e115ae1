//! Orders — decides what a line of control means. It never carries one out.

use std::str::FromStr;

use crate::{name::HostId, scenario::nearest::suggestion};

/// What can be asked of a running ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Kills a server's process: its clients see a reset. Its files stay.
    Crash(HostId),
    /// Stops a server in order: its clients are told.
    Stop(HostId),
    /// Starts a server that does not run.
    Start(HostId),
    /// Holds a server: it is silent, and its connections stay open.
    Pause(HostId),
    /// Lets a held server go on.
    Resume(HostId),
    /// Lets nothing through between two servers.
    Cut(HostId, HostId),
    /// Lets nothing through between a server and the others.
    Isolate(HostId),
    /// Lets everything through again.
    Heal,
    /// Tells what each server does.
    Status,
    /// Tells what can be asked.
    Help,
}

/// What can be asked, for people.
pub(super) const HELP: &str = "\
crash N      kill server N: its clients see a reset, its files stay
stop N       stop server N in order
start N      start server N again
pause N      hold server N: silent, its connections open
resume N     let server N go on
cut A B      let nothing through between servers A and B
isolate N    let nothing through between server N and the others
heal         let everything through again
status       what each server does
help         this";

const WORDS: [&str; 10] =
    ["crash", "stop", "start", "pause", "resume", "cut", "isolate", "heal", "status", "help"];

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let word = words.next().ok_or("say what to do; `help` tells what there is")?.to_lowercase();
        let operands: Vec<&str> = words.collect();
        let one = || match operands[..] {
            [server] => host(server),
            _ => Err(format!("write `{word} N` with the number of a server")),
        };
        match word.as_str() {
            "crash" => one().map(Self::Crash),
            "stop" => one().map(Self::Stop),
            "start" => one().map(Self::Start),
            "pause" => one().map(Self::Pause),
            "resume" => one().map(Self::Resume),
            "isolate" => one().map(Self::Isolate),
            "cut" => match operands[..] {
                [one, other] => Ok(Self::Cut(host(one)?, host(other)?)),
                _ => Err("write `cut A B` with the numbers of two servers".into()),
            },
            "heal" | "status" | "help" if !operands.is_empty() => {
                Err(format!("`{word}` stands alone: `{}` is too much", operands.join(" ")))
            }
            "heal" => Ok(Self::Heal),
            "status" => Ok(Self::Status),
            "help" => Ok(Self::Help),
            _ => Err(format!("there is no order `{word}`: {}", suggestion(&word, WORDS))),
        }
    }
}

/// `2`, or `zk-2`.
fn host(word: &str) -> Result<HostId, String> {
    let number = word.strip_prefix("zk-").unwrap_or(word).parse::<u16>();
    number.map(HostId::zookeeper).map_err(|_| format!("`{word}` is not the number of a server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_name_servers_by_number_or_name() {
        let two = HostId::zookeeper(2);
        assert_eq!("stop 2".parse(), Ok(Order::Stop(two)));
        assert_eq!("  CRASH   zk-2 ".parse(), Ok(Order::Crash(two)));
        assert_eq!("cut 2 3".parse(), Ok(Order::Cut(two, HostId::zookeeper(3))));
        assert_eq!("heal".parse(), Ok(Order::Heal));
    }

    #[test]
    fn bad_line_says_what_is_wrong() {
        for (line, part) in [
            ("", "`help`"),
            ("stpo 2", "did you mean `stop`?"),
            ("stop", "`stop N`"),
            ("stop 1 2", "`stop N`"),
            ("stop two", "`two` is not the number"),
            ("stop -1", "`-1` is not the number"),
            ("cut 1", "`cut A B`"),
            ("heal 1", "stands alone"),
        ] {
            let error = line.parse::<Order>().unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_order() {
        let named: Vec<_> = HELP.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, words);
    }
}
