//! The fault contract, promise by promise.

use super::*;

type Plain = Disk<()>;

fn append(file: &str, bytes: &[u8]) -> DiskOp {
    DiskOp::Append { file: file.into(), bytes: bytes.into() }
}

fn tell(token: u64) -> Deferred<()> {
    Deferred::Tell { token }
}

fn content(disk: &Plain, file: &str) -> Option<Vec<u8>> {
    disk.files().get(file).map(|bytes| bytes.to_vec())
}

#[test]
fn synced_bytes_survive_power_loss_whatever_the_dice_say() {
    for seed in 0..200 {
        let mut disk = Plain::default();
        disk.change(append("log", b"safe")).unwrap();
        assert_eq!(disk.after_sync(&"log".into(), tell(1)), AfterSync::Begin);
        disk.change(append("log", b"unsafe")).unwrap();
        assert_eq!(disk.synced(&"log".into()), Ok((vec![tell(1)], false)));
        disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
        let left = content(&disk, "log").unwrap();
        assert!(left.starts_with(b"safe") && left.len() <= 10, "{left:?}");
    }
}

#[test]
fn unsynced_bytes_are_lost_kept_and_torn_over_seeds() {
    let outcome = |seed| {
        let mut disk = Plain::default();
        disk.change(append("log", b"abcdef")).unwrap();
        disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
        content(&disk, "log").unwrap_or_default()
    };
    let seen: std::collections::BTreeSet<_> = (0..300).map(outcome).collect();
    for expected in [&b""[..], b"abcdef", b"abc", b"abc\0\0\0"] {
        assert!(seen.contains(expected), "{seen:?} lacks {expected:?}");
    }
}

#[test]
fn process_death_loses_nothing() {
    let mut disk = Plain::default();
    disk.change(append("log", b"abc")).unwrap();
    disk.process_died();
    assert_eq!(content(&disk, "log").unwrap(), b"abc");
}

#[test]
fn replacement_shows_old_or_new_as_a_whole() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut disk = Plain::default();
        disk.change(DiskOp::Replace { file: "epoch".into(), bytes: (*b"1").into() }).unwrap();
        disk.after_sync(&"epoch".into(), tell(1));
        disk.synced(&"epoch".into()).unwrap();
        disk.change(DiskOp::Replace { file: "epoch".into(), bytes: (*b"22").into() }).unwrap();
        disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
        seen.insert(content(&disk, "epoch").unwrap());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [b"1".to_vec(), b"22".to_vec()]);
}

#[test]
fn sync_of_another_file_commits_earlier_removals() {
    let mut disk = Plain::default();
    disk.change(append("old", b"x")).unwrap();
    disk.after_sync(&"old".into(), tell(1));
    disk.synced(&"old".into()).unwrap();
    disk.change(DiskOp::Remove { file: "old".into() }).unwrap();
    disk.change(append("new", b"y")).unwrap();
    disk.after_sync(&"new".into(), tell(2));
    disk.synced(&"new".into()).unwrap();
    disk.power_lost(&Dice::new(1), HostId::zookeeper(1));
    assert_eq!((content(&disk, "old"), content(&disk, "new")), (None, Some(b"y".to_vec())));
}

#[test]
fn committed_removal_leaves_no_unsynced_append() {
    let mut disk = Plain::default();
    disk.change(append("segment", b"x")).unwrap();
    disk.change(DiskOp::Remove { file: "segment".into() }).unwrap();
    disk.change(append("log", b"y")).unwrap();
    disk.after_sync(&"log".into(), tell(1));
    disk.synced(&"log".into()).unwrap();
    assert_eq!(content(&disk, "segment"), None);
    disk.power_lost(&Dice::new(1), HostId::zookeeper(1));
    assert_eq!(content(&disk, "segment"), None);
}

#[test]
fn write_during_a_sync_waits_for_the_next_one() {
    let mut disk = Plain::default();
    let log: FileName = "log".into();
    disk.change(append("log", b"a")).unwrap();
    assert_eq!(disk.after_sync(&log, tell(1)), AfterSync::Begin);
    assert_eq!(disk.after_sync(&log, tell(2)), AfterSync::Waits);
    disk.change(append("log", b"b")).unwrap();
    assert_eq!(disk.after_sync(&log, tell(3)), AfterSync::Waits);
    assert_eq!(disk.synced(&log), Ok((vec![tell(1), tell(2)], true)));
    assert_eq!(disk.synced(&log), Ok((vec![tell(3)], false)));
    assert_eq!(disk.after_sync(&log, tell(4)), AfterSync::Now(tell(4)));
}

fn die(key: u64) -> Die {
    Dice::new(key).at("test", key)
}

fn synced(disk: &mut Plain, file: &str, bytes: &[u8]) {
    disk.change(append(file, bytes)).unwrap();
    disk.after_sync(&file.into(), tell(1));
    disk.synced(&file.into()).unwrap();
}

#[test]
fn rot_flips_that_many_bits_of_one_file_of_the_kind() {
    let mut disk = Plain::default();
    synced(&mut disk, "log.1", &[0; 100]);
    synced(&mut disk, "snapshot.1", &[0; 100]);
    let (file, bytes) = disk.rot(FileKind::Log, 3, die(5)).unwrap();
    let content = content(&disk, "log.1").unwrap();
    assert_eq!((&*file, content.iter().map(|byte| byte.count_ones()).sum::<u32>()), ("log.1", 3));
    assert_eq!((content.len(), content.iter().filter(|byte| **byte != 0).count()), (100, bytes as usize));
    assert_eq!(disk.rot(FileKind::Translog, 1, die(5)), None);
}

#[test]
fn misdirected_write_leaves_noise_and_hits_another_file() {
    let mut disk = Plain::default();
    synced(&mut disk, "log.1", &[7; 100]);
    synced(&mut disk, "state", &[0; 200]);
    let hit = disk.misdirect(FileKind::Log, die(3));
    let [(meant, 64), (other, landed)] = &hit[..] else { panic!("{hit:?}") };
    assert_eq!((&**meant, &**other), ("log.1", "state"));
    let [log, state] = ["log.1", "state"].map(|file| content(&disk, file).unwrap());
    assert!(log[..36] == [7; 36] && log[36..].iter().all(|byte| *byte != 0) && log[36..] != [7; 64]);
    assert_eq!((log.len(), state.len()), (100, 200));
    assert_eq!(state.iter().filter(|byte| **byte == 7).count(), *landed as usize);
}

#[test]
fn refused_write_may_be_short_and_nothing_lands_behind_it_before_the_process_is_told() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut disk = Plain::default();
        synced(&mut disk, "log.1", b"ab");
        disk.ail(9, FileKind::Log, DiskFailure::Write, die(seed));
        assert_eq!(disk.change(append("log.1", b"cdef")), Err(DiskError::Write));
        assert_eq!(disk.change(append("log.1", b"xyz")), Ok(()));
        assert_eq!(disk.after_sync(&"log.1".into(), tell(2)), AfterSync::Waits);
        let left = content(&disk, "log.1").unwrap();
        assert!(b"abcdef".starts_with(&left), "{left:?}");
        lengths.insert(left.len());
        disk.told(&"log.1".into());
        disk.cure(9);
        disk.change(append("log.1", b"!")).unwrap();
        assert_eq!(content(&disk, "log.1").unwrap(), [&left[..], b"!"].concat());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
}

#[test]
fn full_disk_takes_nothing_and_gives_files_up() {
    let mut disk = Plain::default();
    synced(&mut disk, "log.1", b"ab");
    disk.ail(9, FileKind::Any, DiskFailure::Full, die(1));
    assert_eq!(disk.change(append("log.2", b"cd")), Err(DiskError::Full));
    let replace = DiskOp::Replace { file: "state".into(), bytes: (*b"1").into() };
    assert_eq!(disk.change(replace), Err(DiskError::Full));
    assert_eq!(disk.change(DiskOp::Remove { file: "log.1".into() }), Ok(()));
    assert_eq!(disk.files().len(), 0);
}

#[test]
fn failed_sync_keeps_or_drops_what_was_to_be_synced_and_tells_nobody() {
    for (how, left) in [(DiskFailure::SyncKept, &b"abc"[..]), (DiskFailure::SyncDropped, b"a")] {
        let mut disk = Plain::default();
        synced(&mut disk, "log.1", b"a");
        disk.change(append("log.1", b"b")).unwrap();
        assert_eq!(disk.after_sync(&"log.1".into(), tell(2)), AfterSync::Begin);
        disk.change(append("log.1", b"c")).unwrap();
        disk.after_sync(&"log.1".into(), tell(3));
        disk.ail(9, FileKind::Any, how, die(1));
        assert_eq!(disk.synced(&"log.1".into()), Err(DiskError::Sync));
        assert_eq!(content(&disk, "log.1").unwrap(), left, "{how:?}");
        disk.cure(9);
        if how == DiskFailure::SyncKept {
            assert_eq!(
                disk.after_sync(&"log.1".into(), tell(4)),
                AfterSync::Begin,
                "it is still to be synced"
            );
        } else {
            assert_eq!(disk.after_sync(&"log.1".into(), tell(4)), AfterSync::Now(tell(4)));
        }
    }
}

#[test]
fn unreadable_file_is_noise_until_it_can_be_read_again() {
    let mut disk = Plain::default();
    synced(&mut disk, "log.1", b"ab");
    disk.ail(9, FileKind::Log, DiskFailure::Read, die(1));
    assert_eq!(disk.unreadable().as_deref(), Some("log.1"));
    assert_eq!(content(&disk, "log.1").unwrap(), [NOISE; STRIP]);
    disk.cure(9);
    assert_eq!(content(&disk, "log.1").unwrap(), b"ab");
}
