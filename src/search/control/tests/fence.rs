//! Tests of the fence — decides whether a controller that is over writes nothing more. It never trusts a
//! controller's own opinion: what was published counts.

use super::*;

/// A controller that is paused past its session's end, with work waiting when it wakes.
fn paused_controller(defects: &[Defect]) -> Bench<Node> {
    let mut bench = green(defects);
    bench.pause(A);
    bench.run(seconds(8));
    assert_eq!(elected(&bench, B), [Epoch(2)]);
    assert!(published(&bench).iter().any(|(epoch, _)| *epoch == Epoch(2)));
    bench.resume(A);
    bench.run(seconds(6));
    bench
}

/// "Every leader-only write is a `multi` with check(token)": SEARCH-DEFECTS A1, A13.
#[test]
fn controller_paused_past_its_session_writes_nothing_more() {
    let mut bench = paused_controller(&[]);
    assert_eq!(resigned(&bench, A), 1);
    assert_forward(&bench);
    assert_green(&mut bench, &ALL);
}

#[test]
fn unfenced_controller_paused_past_its_session_overwrites_its_successor() {
    let bench = paused_controller(&[Defect::ControllerUnfenced]);
    let published = published(&bench);
    let late = published.windows(2).any(|pair| pair[0].0 > pair[1].0);
    assert!(late, "an old epoch is published after a new one: {published:?}");
    assert_eq!(resigned(&bench, A), 1, "it resigns when it hears of the new epoch");
}

#[test]
fn rightful_controller_recovers_from_an_unfenced_one() {
    let mut bench = paused_controller(&[Defect::ControllerUnfenced]);
    wish(&mut bench, C, 9, "books");
    bench.run(seconds(3));
    let newest = state(&mut bench, B);
    assert_eq!((newest.epoch, newest.controller), (Epoch(2), Some(B)));
    assert!(newest.indices.contains_key(&"books".into()));
    assert_green(&mut bench, &ALL);
}

/// A write that is under way when somebody draws the next epoch fails its check.
#[test]
fn write_after_somebody_has_drawn_the_next_epoch_is_fenced() {
    let mut bench = green(&[]);
    let before = published(&bench).len();
    let path = discovery::CONTROLLER_EPOCH.to_owned();
    bench.fake.edit(&Op::SetData { path, data: Some(b"7".as_slice().into()), version: -1 });
    wish(&mut bench, B, 9, "books");
    bench.run(seconds(8));
    let fenced = |event: &&EventKind| matches!(event, EventKind::ControllerResigned { epoch: Epoch(1), why } if why.starts_with("fenced"));
    assert_eq!(bench.notes(Some(A)).filter(fenced).count(), 1);
    assert!(published(&bench)[before..].iter().all(|(epoch, _)| *epoch == Epoch(8)));
    assert_eq!(bench.core(B).answers().last(), Some(&(9, DONE)));
}

/// "Lost leadership must be assumed locally at session_timeout × 2/3 (client side) without server contact"
#[test]
fn controller_without_contact_is_silent() {
    let mut bench = green(&[]);
    bench.silence(A);
    let alone = bench.now;
    bench.run(seconds(3));
    assert!(!is_alive(&mut bench, A));
    wish(&mut bench, B, 9, "books");
    wish(&mut bench, A, 9, "books");
    bench.run(Duration::from_millis(500));
    assert_eq!(bench.core(A).answers(), []);
    let by_a = |(at, host, event): &&(u64, HostId, EventKind)| {
        *at > alone && *host == A && matches!(event, EventKind::StatePublished { .. })
    };
    assert_eq!(bench.events.iter().filter(by_a).count(), 0);
}

#[test]
fn brief_loss_of_contact_costs_no_office() {
    let mut bench = green(&[]);
    bench.break_zookeeper(A);
    bench.run(seconds(3));
    wish(&mut bench, C, 9, "books");
    bench.run(seconds(3));
    assert_eq!((elected(&bench, A), resigned(&bench, A)), (vec![Epoch(1)], 0));
    assert_eq!(bench.core(C).answers(), [(9, DONE)]);
    assert_forward(&bench);
}

#[test]
fn lost_session_is_told_and_made_up_for() {
    let mut bench = green(&[]);
    let session = bench.core(B).control.client.session().unwrap();
    bench.fake.end(session);
    bench.run(seconds(4));
    assert!(bench.core(B).news.contains(&ControlNews::SessionLost));
    assert_green(&mut bench, &ALL);
    assert_ne!(state(&mut bench, A).nodes[&B].session, session);
}

/// SEARCH-DEFECTS A5: "apply only if (term, version) greater"
#[test]
fn state_is_applied_only_forward() {
    let mut bench = paused_controller(&[Defect::ControllerUnfenced]);
    for host in ALL {
        let states: Vec<(Epoch, u64)> = bench
            .core(host)
            .news
            .iter()
            .filter_map(|news| match news {
                ControlNews::State(state) => Some((state.epoch, state.version)),
                _ => None,
            })
            .collect();
        assert!(states.is_sorted_by(|a, b| a < b), "{states:?}");
    }
}

#[test]
fn state_that_cannot_be_read_is_not_overwritten_by_a_new_controller() {
    let mut bench = green(&[]);
    let garbage =
        |data: &'static [u8]| Op::SetData { path: STATE.to_owned(), data: Some(data.into()), version: -1 };
    let good = bench.fake.data(STATE).cloned().unwrap();
    bench.kill(A);
    // Written twice: nobody can know what the first one was.
    bench.fake.edit(&garbage(&[0xfe; 7]));
    bench.fake.edit(&garbage(&[0xff; 7]));
    bench.run(seconds(8));
    assert_eq!(bench.fake.data(STATE).unwrap().as_deref(), Some([0xff; 7].as_slice()));
    let corrupt = |event: &&EventKind| matches!(event, EventKind::StateCorrupt { path, .. } if path == STATE);
    assert!(bench.notes(Some(B)).filter(corrupt).count() >= 1, "it is told");
    bench.fake.edit(&Op::SetData { path: STATE.to_owned(), data: good, version: -1 });
    bench.run(seconds(4));
    assert_eq!(state(&mut bench, C).controller, Some(B));
    assert_eq!(state(&mut bench, C).indices.len(), 1);
}

/// The cluster goes on with the last good state: an acting controller knows what it wrote last.
#[test]
fn state_that_is_damaged_under_an_acting_controller_is_written_anew() {
    let mut bench = green(&[]);
    let before = state(&mut bench, B);
    bench.fake.edit(&Op::SetData {
        path: STATE.to_owned(),
        data: Some([7; 7].as_slice().into()),
        version: -1,
    });
    bench.run(seconds(2));
    let after = state(&mut bench, B);
    assert_eq!((after.epoch, after.version), (before.epoch, before.version + 1));
    assert_eq!(after.indices, before.indices);
    let corrupt = |event: &&EventKind| matches!(event, EventKind::StateCorrupt { .. });
    assert!(bench.notes(None).filter(corrupt).count() >= 1);
    assert_green(&mut bench, &ALL);
}

/// One write lies between what it has read and what is there: that write left nothing whole.
#[test]
fn new_controller_goes_on_from_the_state_that_was_there_just_before() {
    let mut bench = green(&[]);
    bench.kill(A);
    bench.fake.edit(&Op::SetData {
        path: STATE.to_owned(),
        data: Some([7; 7].as_slice().into()),
        version: -1,
    });
    bench.run(seconds(20));
    assert_eq!(state(&mut bench, C).controller, Some(B));
    assert_green(&mut bench, &[B, C]);
}

/// A deadline that passes while the controller may not act is no reason to wake it again and again.
#[test]
fn deadline_that_passes_without_contact_does_not_spin() {
    let mut bench = green(&[]);
    bench.kill(C);
    bench.run(seconds(13));
    let waits = bench.core(A).control.controller.next_wake();
    assert!(waits.is_some_and(|deadline| deadline.0 > bench.now), "copies of C are delayed");
    bench.silence(A);
    bench.silence(B);
    bench.run(seconds(3));
    assert!(waits.is_some_and(|deadline| deadline.0 < bench.now));
    bench.hear(A);
    bench.hear(B);
    bench.run(seconds(15));
    assert_green(&mut bench, &[A, B]);
}

/// "Every leader-only write is a `multi` with check(token)", and expects the version it follows.
#[test]
fn state_is_written_by_a_multi_that_checks_epoch_and_version() {
    let mut bench = green(&[]);
    let drawn = bench.fake.stat(discovery::CONTROLLER_EPOCH).unwrap().version;
    let before = bench.fake.stat(STATE).unwrap().version;
    bench.fake.asked.clear();
    wish(&mut bench, C, 9, "books");
    bench.run(Duration::from_millis(10));
    let Some(Op::Multi(ops)) = bench.fake.asked.first() else { panic!("{:?}", bench.fake.asked) };
    let check = Op::Check { path: discovery::CONTROLLER_EPOCH.to_owned(), version: drawn };
    assert_eq!(ops[0], check);
    let expects =
        |op: &Op| matches!(op, Op::SetData { path, version, .. } if path == STATE && *version == before);
    assert!(expects(&ops[1]), "{ops:?}");
}

/// A controller that wakes from a pause answers nothing before it has heard from ZooKeeper.
#[test]
fn controller_that_wakes_hears_before_it_answers() {
    let mut bench = green(&[]);
    // A write, so that its session has lately been heard of.
    wish(&mut bench, C, 8, "books");
    bench.run(Duration::from_millis(50));
    bench.pause(A);
    wish(&mut bench, B, 9, "articles");
    bench.run(Duration::from_millis(3_500));
    bench.resume(A);
    bench.run(Duration::from_millis(5));
    assert_eq!(bench.core(B).answers().len(), 1, "only the first wish, that the test began with");
    bench.run(Duration::from_millis(1_400));
    let refused = (9, Err("resource_already_exists_exception".to_owned()));
    assert_eq!(bench.core(B).answers().last(), Some(&refused));
}
