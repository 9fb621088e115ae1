//! Tests of loss — decides whether the cluster comes right whichever frame or session is lost. It never
//! chooses: it goes through all of them.

use super::*;

/// Whichever frame is lost with its connection, in the end the cluster is green, each write is counted once,
/// and nobody has asked for an index in vain.
#[test]
fn connection_lost_at_any_frame_is_made_up_for() {
    let mut frame = 1;
    loop {
        let mut bench = Bench::new();
        bench.lose_frame = Some(frame);
        for host in ALL {
            bench.start(host, node(host, &[]));
        }
        bench.run(seconds(3));
        wish(&mut bench, B, 1, "articles");
        bench.run(seconds(6));
        assert_green(&mut bench, &ALL);
        assert_forward(&bench);
        assert_eq!(bench.core(B).answers(), [(1, Ok(ApiAnswer::Acknowledged))], "frame {frame}");
        assert_eq!(bench.fake.children(ELECTION).len(), 3, "frame {frame}");
        assert_eq!(bench.fake.children(discovery::NODES).len(), 3, "frame {frame}");
        if bench.frames < frame {
            break;
        }
        frame += 1;
    }
    assert!(frame > 100, "the loop went through a whole life");
}

/// The same with a whole session lost at that point.
#[test]
fn session_lost_at_any_time_is_made_up_for() {
    for after in (0..60).map(|step| Duration::from_millis(step * 2)) {
        for host in ALL {
            let mut bench = Bench::new();
            for host in ALL {
                bench.start(host, node(host, &[]));
            }
            bench.run(after);
            if let Some(session) = bench.core(host).control.client.session() {
                bench.fake.end(session);
            }
            wish(&mut bench, B, 1, "articles");
            bench.run(seconds(12));
            assert_green(&mut bench, &ALL);
            assert_forward(&bench);
        }
    }
}

#[test]
fn equal_runs_have_equal_events() {
    let run = || {
        let mut bench = green(&[]);
        bench.kill(A);
        bench.run(seconds(20));
        bench.events
    };
    assert_eq!(run(), run());
}
