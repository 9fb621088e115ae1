//! Records — decides which bytes stand for a transaction, a snapshot or an epoch on disk, and which bytes
//! stand for none. It never touches a disk.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    event::{Digest, TxnRef},
    name::{Epoch, Zxid},
    zookeeper::{tree::Database, txn::LoggedTxn},
};

/// A transaction with the bytes that log it, made once and shared by all who have it.
///
/// Two records are equal if their transactions are, as far as the digest tells.
#[derive(Debug, Clone)]
pub struct Record {
    txn: LoggedTxn,
    digest: Digest,
    frame: Arc<[u8]>,
}

/// Bytes before the content of a record: its length, the complement of that, its checksum.
const FRAME_HEAD: usize = 4 + 4 + 8;
/// The last byte of a record, never zero: a torn write that leaves zeros lacks it (ZooKeeper's `EOR`).
const END_OF_RECORD: u8 = b'B';
/// The first bytes of a log file.
const LOG_MAGIC: [u8; 4] = *b"ZKLG";
/// Bytes before the first record of a log file: magic, the zxid that the first record follows, a checksum of both.
pub(super) const LOG_HEAD: usize = 4 + 8 + 8;
/// The first bytes of a snapshot file.
const SNAPSHOT_MAGIC: [u8; 4] = *b"ZKSN";
/// Bytes before the content of a snapshot: magic, checksum.
const SNAPSHOT_HEAD: usize = 4 + 8;

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.txn_ref() == other.txn_ref()
    }
}

impl Eq for Record {}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.txn_ref().hash(state);
    }
}

impl Record {
    /// Prepares a transaction for logs.
    pub fn new(txn: LoggedTxn) -> Self {
        let body = postcard::to_stdvec(&txn).expect("a transaction can be written");
        Self::framed(txn, &body)
    }

    /// The checksum is the transaction's digest, which is one over the same bytes.
    fn framed(txn: LoggedTxn, body: &[u8]) -> Self {
        let checksum = Digest::of(body);
        let mut frame = Vec::with_capacity(FRAME_HEAD + body.len() + 1);
        let length = body.len() as u32;
        frame.extend(length.to_le_bytes());
        frame.extend((!length).to_le_bytes());
        frame.extend(checksum.0.to_le_bytes());
        frame.extend(body);
        frame.push(END_OF_RECORD);
        Self { digest: checksum, txn, frame: frame.into() }
    }

    /// The transaction.
    pub fn txn(&self) -> &LoggedTxn {
        &self.txn
    }

    /// Its place in the order.
    pub fn zxid(&self) -> Zxid {
        self.txn.header.zxid
    }

    /// What it does, hashed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// As laws see it.
    pub fn txn_ref(&self) -> TxnRef {
        TxnRef { zxid: self.zxid(), digest: self.digest }
    }

    /// Its length in a log file, in bytes.
    pub fn length(&self) -> u64 {
        self.frame.len() as u64
    }

    /// What a log file holds for it.
    pub(super) fn frame(&self) -> &Arc<[u8]> {
        &self.frame
    }
}

/// What could be read of a log file.
pub(super) struct LogContent {
    /// The zxid that the first record follows; none if not even the head could be read.
    pub(super) after: Option<Zxid>,
    /// The records, each with the file's length up to its end.
    pub(super) records: Vec<(Arc<Record>, u64)>,
    /// The length of the readable part.
    pub(super) valid: u64,
    /// A record that stands whole behind the readable part: what is between was damaged after it was
    /// durable, since a crash leaves nothing behind what it tears.
    pub(super) beyond: Option<Zxid>,
    /// Whether what is behind the readable part cannot be the end of a torn write: it was durable once.
    pub(super) rotten: bool,
}

/// Reads a log file up to the first record that is short, has a wrong checksum or does not go forward: a
/// torn tail ends the log silently, and what was damaged later is told from it (ZooKeeper's `FileTxnIterator`,
/// which takes a record without its last byte for torn, and throws at a whole one with a wrong checksum).
pub(super) fn read_log(bytes: &[u8]) -> LogContent {
    let (records, valid) = (Vec::new(), LOG_HEAD as u64);
    let mut content = LogContent { after: log_after(bytes), records, valid, beyond: None, rotten: false };
    let Some(after) = content.after else {
        content.valid = 0;
        content.beyond = first_record_in(bytes);
        content.rotten = bytes.iter().skip(LOG_HEAD).any(|byte| *byte != 0);
        return content;
    };
    let mut last = after;
    while let Some(record) = read_record(&bytes[content.valid as usize..]) {
        if record.zxid() <= last {
            return content;
        }
        last = record.zxid();
        content.valid += record.frame.len() as u64;
        content.records.push((Arc::new(record), content.valid));
    }
    let rest = &bytes[content.valid as usize..];
    content.beyond = first_record_in(rest).filter(|beyond| *beyond > last);
    content.rotten = !is_torn(rest);
    content
}

/// The first whole record at whatever offset.
fn first_record_in(bytes: &[u8]) -> Option<Zxid> {
    (0..bytes.len()).find_map(|offset| read_record(&bytes[offset..])).map(|record| record.zxid())
}

fn log_after(bytes: &[u8]) -> Option<Zxid> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (after, rest) = rest.split_first_chunk::<8>()?;
    let checksum = rest.first_chunk::<8>()?;
    let sound = *magic == LOG_MAGIC && Digest::of(after) == Digest(u64::from_le_bytes(*checksum));
    sound.then(|| Zxid(u64::from_le_bytes(*after)))
}

/// The length of the record's content that begins here, if that can be trusted, and the checksum.
fn read_head(bytes: &[u8]) -> Option<(usize, Digest)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (complement, rest) = rest.split_first_chunk::<4>()?;
    let checksum = rest.first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length);
    (length == !u32::from_le_bytes(*complement))
        .then(|| (length as usize, Digest(u64::from_le_bytes(*checksum))))
}

fn read_record(bytes: &[u8]) -> Option<Record> {
    let (length, checksum) = read_head(bytes)?;
    let body = bytes.get(FRAME_HEAD..)?.get(..length)?;
    if bytes.len() <= FRAME_HEAD + length || Digest::of(body) != checksum {
        return None;
    }
    let txn = postcard::from_bytes(body).ok()?;
    Some(Record::framed(txn, body))
}

/// Whether these bytes, which no record begins with, can be what a crash left of a write: its first bytes, followed
/// by nothing or by zeros.
fn is_torn(bytes: &[u8]) -> bool {
    let zero_from = |start: usize| bytes.iter().skip(start).all(|byte| *byte == 0);
    match read_head(bytes) {
        Some((length, _)) => bytes.len() <= FRAME_HEAD + length || zero_from(FRAME_HEAD + length),
        None => bytes.len() < FRAME_HEAD || zero_from(FRAME_HEAD),
    }
}

/// The head of a log file whose first record will follow `after`.
pub(super) fn log_head(after: Zxid) -> Arc<[u8]> {
    let after = after.0.to_le_bytes();
    [LOG_MAGIC.as_slice(), &after, &Digest::of(&after).0.to_le_bytes()].concat().into()
}

/// The content of a snapshot file. It is as large as the database: memory for it is taken once.
pub fn write_snapshot(tree: &Database) -> Arc<[u8]> {
    const WRITABLE: &str = "a database can be written";
    let len = postcard::experimental::serialized_size(tree).expect(WRITABLE);
    let mut file: Arc<[u8]> = std::iter::repeat_n(0, SNAPSHOT_HEAD + len).collect();
    let bytes = Arc::get_mut(&mut file).expect("nobody else has it yet");
    let (head, body) = bytes.split_at_mut(SNAPSHOT_HEAD);
    postcard::to_slice(tree, body).expect(WRITABLE);
    let (magic, checksum) = head.split_at_mut(SNAPSHOT_MAGIC.len());
    magic.copy_from_slice(&SNAPSHOT_MAGIC);
    checksum.copy_from_slice(&Digest::of(body).0.to_le_bytes());
    file
}

/// The database in a snapshot file, unless it is damaged.
pub fn read_snapshot(bytes: &[u8]) -> Option<Database> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, body) = rest.split_first_chunk::<8>()?;
    let whole = *magic == SNAPSHOT_MAGIC && Digest::of(body) == Digest(u64::from_le_bytes(*checksum));
    whole.then(|| postcard::from_bytes(body).ok()).flatten()
}

/// The content of an epoch file: decimal text, as ZooKeeper writes it.
pub(super) fn write_epoch(epoch: Epoch) -> Arc<[u8]> {
    epoch.to_string().into_bytes().into()
}

/// The epoch in an epoch file, unless it is damaged.
pub(super) fn read_epoch(bytes: &[u8]) -> Option<Epoch> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok().map(Epoch)
}

#[cfg(test)]
mod tests {
    use super::{super::workshop::record, *};
    use crate::name::SessionId;

    fn log_of(records: &[Arc<Record>]) -> Vec<u8> {
        let frames = records.iter().flat_map(|record| record.frame().iter().copied());
        log_head(Zxid(0)).iter().copied().chain(frames).collect()
    }

    #[test]
    fn digest_is_that_of_the_transaction() {
        let record = record(1, 2);
        assert_eq!(record.digest(), record.txn().digest());
    }

    /// "last entry with bad checksum or short: ends the log silently".
    #[test]
    fn log_cut_anywhere_reads_as_a_prefix() {
        let records: Vec<_> = (1..=3).map(|counter| record(1, counter)).collect();
        let bytes = log_of(&records);
        for len in 0..=bytes.len() {
            let content = read_log(&bytes[..len]);
            let read: Vec<_> = content.records.iter().map(|(record, _)| record.clone()).collect();
            assert_eq!(read, records[..read.len()]);
            assert!(content.valid <= len as u64);
            let whole = content.records.last().map_or(0, |(_, end)| *end as usize);
            assert!(read.len() == records.len() || len - whole < LOG_HEAD + records[0].frame().len());
        }
    }

    #[test]
    fn log_with_any_byte_changed_reads_as_a_prefix() {
        let records: Vec<_> = (1..=2).map(|counter| record(1, counter)).collect();
        let bytes = log_of(&records);
        for position in LOG_HEAD..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            let read = read_log(&damaged);
            let ends = [LOG_HEAD + records[0].frame().len(), bytes.len()];
            if ends.contains(&(position + 1)) {
                assert_eq!(
                    (read.records.len(), read.rotten),
                    (2, false),
                    "the last byte of a record says nothing"
                );
                continue;
            }
            let hit = usize::from(position >= ends[0]);
            assert_eq!((read.records.len(), read.rotten), (hit, true), "byte {position}");
        }
    }

    #[test]
    fn rot_in_the_head_of_a_log_is_told_from_a_torn_head() {
        let bytes = log_of(&[record(1, 1)]);
        for position in 0..LOG_HEAD {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            assert!(read_log(&damaged).rotten, "byte {position}");
            assert!(!read_log(&bytes[..position]).rotten);
        }
    }

    #[test]
    fn what_a_crash_leaves_of_a_record_is_never_taken_for_rot() {
        let records: Vec<_> = (1..=2).map(|counter| record(1, counter)).collect();
        let bytes = log_of(&records);
        for len in 0..=bytes.len() {
            let zeros = [&bytes[..len], &vec![0; bytes.len() - len]].concat();
            assert!(!read_log(&zeros).rotten && !read_log(&bytes[..len]).rotten, "cut at {len}");
        }
    }

    #[test]
    fn record_behind_damage_is_seen_and_a_torn_tail_has_none() {
        let records: Vec<_> = (1..=3).map(|counter| record(1, counter)).collect();
        let bytes = log_of(&records);
        let second = LOG_HEAD + records[0].frame().len();
        for position in second..second + records[1].frame().len() - 1 {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            assert_eq!(read_log(&damaged).beyond, Some(records[2].zxid()), "byte {position}");
            assert_eq!(read_log(&bytes[..position]).beyond, None);
        }
        let zeros = [bytes, vec![0; 4096]].concat();
        assert_eq!(read_log(&zeros).beyond, None);
    }

    #[test]
    fn records_that_go_back_end_the_log() {
        let bytes = log_of(&[record(1, 2), record(1, 1)]);
        assert_eq!(read_log(&bytes).records.len(), 1);
    }

    #[test]
    fn snapshot_with_any_byte_changed_is_refused() {
        let mut tree = Database::default();
        tree.apply(record(1, 1).txn());
        let bytes = write_snapshot(&tree);
        assert_eq!(read_snapshot(&bytes).as_ref(), Some(&tree));
        assert!(tree.sessions().contains_key(&SessionId(Zxid::new(Epoch(1), 1).0)));
        for position in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= 1;
            assert_eq!(read_snapshot(&damaged), None, "byte {position}");
        }
    }
}
