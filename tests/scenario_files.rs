//! A scenario file either runs as written or is refused with every reason, each at its place.

use std::time::Duration;

use proptest::prelude::*;
use shardarium::scenario::{
    builtin,
    check::Vocabulary,
    format::Scenario,
    plan::{CutMode, Direction, FaultAction, InFlight, Plan, Selector, Trigger},
    problem::Problems,
    read::read,
    settle::settle_bound,
};

fn vocabulary() -> Vocabulary {
    Vocabulary { laws: vec!["one-leader-an-epoch", "no-write-lost"], goals: vec!["promotion", "resync"] }
}

fn read_text(text: &str) -> Result<Scenario, Problems> {
    read("s.toml", text, &vocabulary())
}

/// Line, column, message and help of each problem.
fn problems(text: &str) -> Vec<String> {
    let problems = read_text(text).expect_err("the scenario should be refused");
    let one = |problem| {
        let (line, column) = problems.position(problem);
        format!("{line}:{column} {} | {}", problem.message, problem.help)
    };
    problems.list.iter().map(one).collect()
}

const HEAD: &str = "title = \"t\"\nduration = \"60s\"\n";

#[track_caller]
fn assert_only_problem(body: &str, expected: &str) {
    let found = problems(&format!("{HEAD}{body}"));
    assert_eq!(found, [expected]);
}

#[test]
fn two_lines_make_a_scenario() {
    let plan = read_text(HEAD).unwrap().plan(7);
    assert_eq!((plan.zookeeper.servers.len(), plan.nodes.len(), plan.seed), (3, 3, 7));
    assert_eq!(plan.duration, Duration::from_secs(60));
}

#[test]
fn wrong_key_names_the_nearest() {
    assert_only_problem(
        "[cluster]\nzookeper = 3\n",
        "4:1 there is no key `zookeper` here | did you mean `zookeeper`? valid: zookeeper, tick, init_limit, \
         sync_limit, snap_count, search, zones, attributes, session_timeout, refresh_interval, delayed_allocation, \
         request_timeout, flush_operations, read_policy, write_threads, allocator, settings",
    );
}

#[test]
fn canary_names_a_defect_and_a_seed() {
    let found = problems(&format!("{HEAD}[canary]\ndefect = \"no-resink\"\nseed = 3\n"));
    let parts = ["4:10 ", "`no-resink` is not a choice here", "did you mean `no-resync`?"];
    assert!(found.len() == 1 && parts.iter().all(|part| found[0].contains(part)), "{found:?}");
    assert_only_problem(
        "[canary]\nseed = 3\n",
        "3:2 the canary has no defect | add `defect = \"…\"`: `shardarium list defects` has them",
    );
}

#[test]
fn wrong_type_says_what_is_expected() {
    assert_only_problem(
        "[cluster]\nzookeeper = \"three\"\n",
        "4:13 invalid type: string \"three\" | expected a whole number, 0 to 65535",
    );
}

#[test]
fn duration_without_unit_is_explained() {
    assert_only_problem(
        "[cluster]\ntick = \"500\"\n",
        "4:8 `500` is not a duration | write a unit: `\"500s\"` or `\"500ms\"`",
    );
}

#[test]
fn number_for_duration_is_explained() {
    assert_only_problem(
        "[cluster]\ntick = 500\n",
        "4:8 invalid type: integer `500` | expected a duration in quotes, such as \"12s\" or \"250ms\"",
    );
}

#[test]
fn unknown_selector_is_explained() {
    let found = problems(&format!("{HEAD}[[faults]]\nat = \"1s\"\ncrash = \"zk-leeder\"\n"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("5:9 `zk-leeder` is not a selector | did you mean `zk-leader`?"),
        "{found:?}"
    );
}

#[test]
fn unknown_host_is_told_how_many_there_are() {
    assert_only_problem(
        "[cluster]\nsearch = 5\n[[faults]]\nat = \"1s\"\ncrash = \"search-9\"\n",
        "7:9 there is no host `search-9` | there are 5: `search-1` to `search-5`",
    );
}

#[test]
fn unknown_index_in_selector_is_refused() {
    assert_only_problem(
        "[[indices]]\nname = \"articles\"\n[[faults]]\nat = \"1s\"\npause = \"primary(article/0)\"\n",
        "7:9 there is no index `article` | did you mean `articles`? valid: articles",
    );
}

#[test]
fn unknown_shard_in_selector_is_refused() {
    assert_only_problem(
        "[[indices]]\nname = \"articles\"\nshards = 3\n[[faults]]\nat = \"1s\"\npause = \"primary(articles/3)\"\n",
        "8:9 there is no shard `articles/3` | its shards are 0 to 2",
    );
}

#[test]
fn unknown_event_is_refused() {
    let found =
        problems(&format!("{HEAD}[[faults]]\nwhen = {{ event = \"TxnCommited\" }}\npause = \"search\"\n"));
    assert_eq!(
        found,
        [
            "4:18 `TxnCommited` is not an event | did you mean `TxnCommitted`?; `shardarium list events` has them all"
        ]
    );
}

#[test]
fn unknown_law_and_goal_are_refused() {
    let found = problems(&format!(
        "{HEAD}[expect]\nlaws = [\"no-write-lost\", \"one-leader\"]\ngoals = [\"resink\"]\n"
    ));
    assert_eq!(
        found,
        [
            "4:26 `one-leader` is not a law | valid: one-leader-an-epoch, no-write-lost",
            "5:10 `resink` is not a goal | did you mean `resync`? valid: promotion, resync"
        ]
    );
}

/// Each wrong combination of a fault, with what is said of it.
#[test]
fn senseless_faults_are_refused_at_their_place() {
    let cases = [
        ("crash = \"search\"", "the fault never strikes"),
        ("at = \"1s\"", "the fault does nothing"),
        ("at = \"1s\"\nevery = \"5s\"\ncrash = \"search\"", "the fault has two triggers"),
        ("every = \"5s\"\nrate = 0.1\ncrash = \"search\"", "the fault has two triggers"),
        (
            "at = \"1s\"\nuntil = \"9s\"\ncrash = \"search\"",
            "`until` says something only of a fault that repeats",
        ),
        ("rate = 0.0\ncrash = \"search\"", "no fault strikes so often a second"),
        ("rate = nan\ncrash = \"search\"", "no fault strikes so often a second"),
        ("every = \"1ms\"\ncrash = \"search\"", "the fault would strike about 60000 times"),
        (
            "every = \"1s\"\nfrom = \"9s\"\nuntil = \"9s\"\ncrash = \"search\"",
            "the fault would end before it begins",
        ),
        ("every = \"1s\"\ntimes = 0\ncrash = \"search\"", "the fault never strikes"),
        ("at = \"1s\"\nrot = \"search\"\nlasts = \"1s\"", "the fault is done at once and not undone"),
        ("at = \"1s\"\nrot = \"search\"\nbits = 0", "no `bits` is no fault"),
        ("at = \"1s\"\ncrash = \"search\"\nbits = 2", "`bits` says something only of a `rot`"),
        ("at = \"1s\"\nfull = \"search\"\npage = \"kept\"", "`page` says something only of a `fsync_error`"),
        (
            "at = \"1s\"\npause = \"search\"\nfiles = \"log\"",
            "`files` says something only of a fault of a disk",
        ),
        ("at = \"1s\"\nslow = \"search\"", "the fault does not say how late messages are"),
        ("at = \"1s\"\nslow_disk = \"search\"", "the fault does not say how long a sync takes"),
        ("at = \"1s\"\nslow = \"search\"\nbandwidth = 0", "no `bandwidth` is no fault"),
        ("at = \"1s\"\njump = \"search\"", "the fault does not say how far"),
        ("at = \"1s\"\njump = \"search\"\nby = \"0s\"", "a clock does not jump so far"),
        ("at = \"1s\"\njump = \"search\"\nby = \"-x\"", "`x` is not a duration"),
        ("at = \"1s\"\ndrift = \"search\"", "the fault does not say how fast"),
        ("at = \"1s\"\ndrift = \"search\"\nppm = 900000", "a clock does not run so"),
        ("at = \"1s\"\nheal = \"storm\"", "there is no fault named `storm`"),
        ("at = \"1s\"\npartition = \"halves\"\nof = \"zk-1\"", "one host does not fall into parts"),
        ("at = \"1s\"\npartition = \"thirds\"", "`thirds` is not a choice here"),
        ("at = \"1s\"\ncrash = \"random(controller)\"", "`random(controller)` draws from no group"),
        ("at = \"1s\"\ncrash = \"random(zone(z))\"", "no search node is in zone `z`"),
        ("at = \"1s\"\ncrash = \"search\"\nrolling = \"1s\"", "who is next is not known"),
        (
            "at = \"1s\"\ncrash = \"controller\"\nlasts = \"1s\"\nrolling = \"1s\"",
            "`controller` is no list of hosts to go through",
        ),
        (
            "when = { event = \"HostStarted\", host = \"any\" }\ncrash = \"search\"",
            "not waited for on a host that is drawn",
        ),
    ];
    for (fault, said) in cases {
        let found = problems(&format!("{HEAD}[[faults]]\n{fault}\n"));
        assert!(found.len() == 1 && found[0].contains(said), "{fault}: {found:?}");
    }
    let swarm = problems(&format!("{HEAD}[swarm]\nchance = 2.0\nstrength = [2.0, 1.0]\n"));
    assert_eq!(swarm.len(), 2, "{swarm:?}");
}

#[test]
fn parameters_that_an_operation_does_not_take_are_refused() {
    let operation = |ask: &str| {
        let who = "client = \"client-2\"\nnumber = 1\nat = \"1s\"\nnode = \"search-1\"";
        let what = format!("ask = \"{ask}\"\ndocument = \"a\"\nparameters = \"remembered=true\"");
        format!(
            "{HEAD}[[indices]]\nname = \"a\"\n[[workloads]]\nindex = \"a\"\n[[operations]]\n{who}\n{what}\n"
        )
    };
    assert!(read("t.toml", &operation("cas"), &Vocabulary::current()).is_ok());
    let found = problems(&operation("index"));
    assert!(found.len() == 1 && found[0].contains("does not take `remembered=true`"), "{found:?}");
}

/// What could not be read is told, and not what would follow from its absence.
#[test]
fn broken_deed_or_index_is_told_without_what_follows() {
    let fault = |text: &str| problems(&format!("{HEAD}[[faults]]\nat = \"1s\"\n{text}\n"));
    for broken in ["cut = \"rack(rack-1)\"", "cut = 3", "cutt = \"search\"", "isolate = \"search\"", "x = 1"]
    {
        let found = fault(&format!("{broken}\nmode = \"drop\"\nto = \"zk-1\""));
        assert!(found.len() == 1 && found[0].starts_with("5:"), "{broken}: {found:?}");
    }
    assert_eq!(fault("zzz = 1\ncrash = \"search-9\"").len(), 2, "nothing that rests on the unknown key");
    let found = problems(&format!(
        "{HEAD}[[index]]\nname = \"a\"\n[[workloads]]\nindex = \"a\"\nwrites_per_second = 1.0\n"
    ));
    assert!(found.len() == 1 && found[0].contains("here it is `indices`"), "{found:?}");
    assert_only_problem(
        "[[workloads]]\nindex = \"a\"\nwrites_per_second = 1.0\n",
        "4:9 there is no index `a` | add one: `[[indices]]` with `name = \"a\"`",
    );
}

#[test]
fn words_of_other_tools_are_told_ours() {
    for (theirs, ours) in [
        ("kill = \"search-1\"", "here it is `crash`: `crash = \"WHO\"`"),
        ("isolate = \"search-1\"", "here it is `cut`: `cut = \"WHO\"`"),
        ("offset = \"search-1\"", "here it is `jump`: `jump = \"WHO\"` with `by = \"5s\"`"),
        ("zzzzz = \"search-1\"", "`shardarium list faults` has them all"),
    ] {
        let found = problems(&format!("{HEAD}[[faults]]\nat = \"1s\"\n{theirs}\n"));
        assert!(found.len() == 1 && found[0].contains(ours), "{theirs}: {found:?}");
    }
}

#[test]
fn limit_and_form_of_a_value_are_told() {
    let duration = problems("title = \"t\"\nduration = \"0s\"\n");
    let [duration] = duration.as_slice() else { panic!("{duration:?}") };
    assert!(duration.starts_with("2:12 ") && duration.contains("must be more than zero"), "{duration}");
    assert_only_problem(
        "[[faults]]\nrate = 1e9\ncrash = \"search\"\n",
        "4:8 no fault strikes so often a second | above 0 and at most 1000, such as `rate = 0.2`",
    );
    assert_only_problem(
        "[[faults]]\nat = \"1s\"\nslow = \"search\"\ndelay = \"100ms\"\n",
        "6:9 invalid type: string \"100ms\" | expected a table, such as `{ min = \"20ms\", mean = \"80ms\" }`",
    );
    assert_only_problem(
        "[[faults]]\nat = \"1s\"\ncrash = \"search\"\nlasts = \"100h\"\n",
        "6:9 the fault outlasts the scenario's end at 1m by far | at most 11m; leave it out for a fault that is never undone",
    );
}

#[test]
fn fault_after_the_end_is_refused() {
    assert_only_problem(
        "[[faults]]\nat = \"60s\"\npause = \"search\"\n",
        "4:6 the fault strikes at 1m, when the run is over | earlier than the end at 1m",
    );
}

#[test]
fn zero_servers_are_refused() {
    assert_only_problem(
        "[cluster]\nzookeeper = 0\n",
        "4:13 an ensemble of 0 servers | 1 to 7 voting servers; 3 or 5 are usual",
    );
}

#[test]
fn two_indices_of_one_name_are_refused() {
    assert_only_problem(
        "[[indices]]\nname = \"a\"\n[[indices]]\nname = \"a\"\n",
        "6:8 a second index named `a` | names must differ",
    );
}

#[test]
fn broken_toml_is_refused_at_its_place() {
    let found = problems("title = \"t\"\nduration = 60s\"\n");
    assert!(found[0].starts_with("2:"), "{found:?}");
}

#[test]
fn missing_part_of_a_delay_is_named() {
    assert_only_problem("[disks]\nsync = { mean = \"1ms\" }\n", "4:8 `min` is missing here | ");
}

#[test]
fn many_mistakes_are_found_in_one_go() {
    let text = r#"titel = "t"
duration = "sixty"

[cluster]
zookeeper = 9
tick = 5

[[indices]]
name = "articles"
shards = "three"

[[workloads]]
index = "article"
writes_per_second = 5.0

[[faults]]
at = "12"
crash = "primary(articles/0)"
lasts = "1s"

[[faults]]
at = "5s"
crsh = "search-1"
"#;
    insta::assert_snapshot!(read_text(text).unwrap_err());
}

#[test]
fn builtin_scenarios_are_sound() {
    for builtin in builtin::ALL {
        let scenario = builtin.scenario();
        assert!(!scenario.description.is_empty(), "{}", builtin.name);
        // Two thousand copies take their time, even with as many recoveries at once as its nodes allow.
        let most = Duration::from_secs(if builtin.name == "large" { 600 } else { 180 });
        assert!(settle_bound(&scenario.plan(1)) < most, "{}", builtin.name);
    }
}

#[test]
fn first_failover_is_the_default_and_what_the_readme_promises() {
    let scenario = builtin::DEFAULT.scenario();
    let plan = scenario.plan(1);
    assert_eq!((plan.zookeeper.servers.len(), plan.nodes.len()), (3, 5));
    let targets: Vec<String> =
        plan.faults.iter().map(|step| format!("{:?} {:?}", step.trigger, step.action)).collect();
    assert_eq!(targets.len(), 3);
    assert_eq!(plan.faults[0].trigger, Trigger::At(Duration::from_secs(12)));
    let cut = FaultAction::Cut {
        from: Selector::ZkLeader,
        to: None,
        direction: Direction::Both,
        links: None,
        mode: CutMode::Stall,
        in_flight: InFlight::Cut,
    };
    assert_eq!(plan.faults[1].action, cut);
    assert_eq!(plan.faults[2].action, FaultAction::Pause { target: Selector::Controller });
}

#[test]
fn scenario_round_trips_through_toml() {
    for builtin in builtin::ALL {
        let words = Vocabulary::current();
        let scenario = read(builtin.name, builtin.text, &words).unwrap();
        let text = toml::to_string(&scenario).unwrap();
        assert_eq!(read("written.toml", &text, &words).unwrap(), scenario, "{text}");
    }
}

#[test]
fn settings_attributes_and_steps_are_planned() {
    let text = format!(
        "{HEAD}
[cluster]
attributes = {{ rack = [\"r1\", \"r2\"] }}
settings = {{ \"cluster.routing.allocation.awareness.attributes\" = \"rack\" }}
[[indices]]
name = \"articles\"
settings = {{ refresh_interval = \"5s\" }}
[[steps]]
at = \"10s\"
update_index_settings = {{ index = \"articles\", settings = {{ number_of_replicas = 2 }} }}
[[steps]]
when = {{ event = \"PrimaryActivated\", nth = 2 }}
drain = \"event-host\"
[[steps]]
at = \"20s\"
create_index = {{ name = \"books\", shards = 2, replicas = 0 }}
[[steps]]
at = \"30s\"
delete_index = \"books\"
"
    );
    let plan = read_text(&text).unwrap().plan(1);
    assert_eq!(plan.nodes[1].attributes["rack"], "r2");
    assert_eq!(plan.settings.0["cluster.routing.allocation.awareness.attributes"], "rack");
    assert_eq!(plan.indices[0].settings.0["index.refresh_interval"], "5s");
    let steps: Vec<String> = plan.steps.iter().map(|step| step.action.to_string()).collect();
    assert_eq!(
        steps,
        [
            "settings of articles index.number_of_replicas = 2",
            "drain of event-host",
            "creation of index books",
            "deletion of index books"
        ]
    );
    assert_eq!(plan.unsound(&vocabulary()), None);
}

#[test]
fn unknown_setting_is_refused_at_its_place() {
    assert_only_problem(
        "[cluster.settings]\n\"cluster.routing.allocation.enabled\" = \"all\"\n",
        "4:40 unknown setting [cluster.routing.allocation.enabled] did you mean \
         [cluster.routing.allocation.enable]? | settings, values and messages are Elasticsearch's; `\"null\"` \
         takes a setting back",
    );
}

#[test]
fn final_setting_is_refused_in_a_step() {
    let found = problems(&format!(
        "{HEAD}[[indices]]\nname = \"a\"\n[[steps]]\nat = \"1s\"\nupdate_index_settings = {{ index = \"a\", settings = {{ number_of_shards = 2 }} }}\n"
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("final index setting [index.number_of_shards], not updateable"), "{found:?}");
}

#[test]
fn shards_among_the_settings_of_a_new_index_are_refused() {
    let found =
        problems(&format!("{HEAD}[[indices]]\nname = \"a\"\nsettings = {{ number_of_shards = 2 }}\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("`index.number_of_shards` has a key of its own"), "{found:?}");
}

#[test]
fn step_without_deed_with_two_and_on_a_missing_index_are_refused() {
    let found = problems(&format!(
        "{HEAD}[[steps]]\nat = \"1s\"\n[[steps]]\nat = \"1s\"\ndelete_index = \"a\"\n[[steps]]\ndrain = \"search-9\"\n\
         [[steps]]\nat = \"2s\"\ndrain = \"search\"\ncorrupt_state = true\n"
    ));
    let said: Vec<&str> = found.iter().map(|line| line.split(" | ").next().unwrap()).collect();
    assert_eq!(
        said,
        [
            "3:1 the step does nothing",
            "7:16 there is no index `a`",
            "8:1 the step never happens",
            "9:9 there is no host `search-9`",
            "13:17 the step does two things: `drain` and `corrupt_state`",
        ]
    );
}

#[test]
fn write_mix_without_weights_and_an_endless_document_are_refused() {
    let found = problems(&format!(
        "{HEAD}[[indices]]\nname = \"a\"\n[[workloads]]\nindex = \"a\"\nwrites_per_second = 1.0\n\
         write_mix = {{ index = 0 }}\ndocument_bytes = 2000000\n"
    ));
    assert_eq!(
        found,
        [
            "8:13 the mix has no kind of write | such as `write_mix = { cas = 1 }`",
            "9:18 documents of 2000000 bytes | at most 1048576"
        ]
    );
}

fn delays() -> impl Strategy<Value = Duration> {
    (0..10_000_000_000_u64).prop_map(Duration::from_nanos)
}

proptest! {
    #[test]
    fn plan_round_trips_through_json(
        which in 0..builtin::ALL.len(),
        seed in any::<u64>(),
        rate in 0.0..1e6,
        ratio in 0.0..=1.0,
        spans in prop::collection::vec(delays(), 3),
    ) {
        let scenario = builtin::ALL[which].scenario();
        let mut plan = scenario.plan(seed);
        plan.links.between_zones.min = spans[0];
        plan.clocks.offset_max = spans[1];
        plan.duration = spans[2];
        for workload in &mut plan.workloads {
            (workload.writes_per_second, workload.delete_ratio) = (rate, ratio);
        }
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn damaged_scenario_never_panics(which in 0..builtin::ALL.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = builtin::ALL[which].text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes);
        if let Err(problems) = read("s.toml", &text, &Vocabulary::current()) {
            prop_assert!(!problems.list.is_empty());
            prop_assert!(problems.to_string().contains("s.toml"));
        }
    }
}
