//! Aliases — decides what keys are called here that other tools (Jepsen, Chaos Mesh) and common use call something
//! else. It never reads one in place of the other.

/// What others call it, our key, and how that is written.
type Alias = (&'static [&'static str], &'static str, &'static str);

const ALIASES: [Alias; 22] = [
    (&["index", "indexes"], "indices", "a table `[[indices]]` for each"),
    (&["name"], "title", "`title = \"…\"`, in a few words"),
    (&["nemesis", "chaos"], "faults", "a table `[[faults]]` for each"),
    (&["time_limit"], "duration", "`duration = \"60s\"`"),
    (
        &["kill", "stop", "terminate", "shutdown", "restart", "reboot"],
        "crash",
        "`crash = \"WHO\"`, with `lasts = \"8s\"` if it comes back",
    ),
    (&["power_loss", "power_off", "poweroff"], "crash", "`crash = \"WHO\"` with `power = true`"),
    (&["freeze", "hang", "suspend", "stall", "sigstop", "gc", "gc_pause"], "pause", "`pause = \"WHO\"`"),
    (
        &["isolate", "block", "blackhole", "disrupt", "netsplit"],
        "cut",
        "`cut = \"WHO\"`: off all others, or off `to = \"WHO\"`; what connections notice is its `mode`: stall, reset, drop, hold",
    ),
    (&["split", "split_brain"], "partition", "`partition = \"halves\"`"),
    (
        &["loss", "packet_loss", "drop"],
        "cut",
        "`cut = \"WHO\"` with `mode = \"drop\"`; of single answers `lose_reply`",
    ),
    (
        &["latency", "lag", "jitter", "throttle", "network_delay"],
        "slow",
        "`slow = \"WHO\"` with `delay = { min = \"20ms\", mean = \"80ms\" }` or `bandwidth`",
    ),
    (
        &["offset", "clock", "bump", "skew", "clock_skew", "time_skew", "clock_offset"],
        "jump",
        "`jump = \"WHO\"` with `by = \"5s\"`; clocks that run fast or slow are `drift` with `ppm`",
    ),
    (&["strobe", "clock_drift"], "drift", "`drift = \"WHO\"` with `ppm = 500`"),
    (&["corrupt", "corruption", "bitflip", "bit_flip"], "rot", "`rot = \"WHO\"`, of `bits` and `files`"),
    (&["enospc", "disk_full", "no_space"], "full", "`full = \"WHO\"`"),
    (
        &["eio", "io_error", "disk_error"],
        "write_error",
        "`write_error`, `read_error` or `fsync_error = \"WHO\"`, of `files`",
    ),
    (&["io_delay", "io_latency", "slow_io", "disk_delay"], "slow_disk", "`slow_disk = \"WHO\"` with `delay`"),
    (&["start", "time", "starts_at"], "at", "`at = \"12s\"`"),
    (&["interval", "period", "repeat"], "every", "`every = \"5s\"`"),
    (&["for", "duration", "length"], "lasts", "`lasts = \"8s\"`"),
    (
        &["target", "host", "hosts", "node", "nodes", "who"],
        "crash",
        "whom it hits stands behind what is done: `crash = \"search-1\"`; `shardarium list faults` has all deeds",
    ),
    (
        &["type", "kind", "action", "fault", "deed"],
        "crash",
        "what is done is a key of its own: `crash = \"WHO\"`; `shardarium list faults` has all deeds",
    ),
];

/// Our key for what others call `found`, and how it is written, if it is one of those that can stand there.
pub(super) fn ours(found: &str, candidates: &[&str]) -> Option<(&'static str, &'static str)> {
    let found = found.to_lowercase().replace('-', "_");
    let is_it = |(theirs, key, _): &&Alias| theirs.contains(&found.as_str()) && candidates.contains(key);
    ALIASES.iter().find(is_it).map(|(_, key, how)| (*key, *how))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_of_another_tool_is_known_where_our_key_can_stand() {
        let key = |found| ours(found, &["at", "crash", "cut", "jump"]).map(|(key, _)| key);
        assert_eq!(["kill", "Isolate", "clock-skew"].map(key), [Some("crash"), Some("cut"), Some("jump")]);
        assert_eq!(["index", "latency", "crash"].map(key), [None; 3]);
    }
}
