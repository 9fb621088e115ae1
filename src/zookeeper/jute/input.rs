//! Input — decides how values are read from a record. It never trusts a length: nothing is set aside for
//! what has not come.

use crate::zookeeper::wire::ZkError;

/// A value, or the error that a server answers with when it cannot read one.
pub(super) type Read<T> = Result<T, ZkError>;

/// What is left of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// The whole of a record.
    pub(super) fn new(record: &'a [u8]) -> Self {
        Self { rest: record }
    }

    fn take(&mut self, bytes: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or(ZkError::MarshallingError)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("so many bytes were taken"))
    }

    /// A byte that is not zero.
    pub(super) fn bool(&mut self) -> Read<bool> {
        Ok(self.array::<1>()? != [0])
    }

    pub(super) fn int(&mut self) -> Read<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Read<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Bytes; none if null. Other negative lengths cannot be read.
    pub(super) fn buffer(&mut self) -> Read<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| ZkError::MarshallingError)?;
                self.take(length).map(Some)
            }
        }
    }

    /// A text; what is not UTF-8 in it becomes U+FFFD, as in Java.
    pub(super) fn string(&mut self) -> Read<Option<String>> {
        Ok(self.buffer()?.map(lossy))
    }

    /// A text that a server cannot do without.
    pub(super) fn text(&mut self) -> Read<String> {
        self.string()?.ok_or(ZkError::MarshallingError)
    }

    /// A list; none if null. Other negative counts are an empty list (`BinaryIndex`).
    pub(super) fn vector<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Option<Vec<T>>> {
        match self.int()? {
            -1 => Ok(None),
            count => (0..count).map(|_| item(self)).collect::<Read<Vec<T>>>().map(Some),
        }
    }
}

/// What Java makes of UTF-8: what Rust does, but a surrogate is one replacement and not three.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let (valid, invalid) = rest.split_at(error.valid_up_to());
        text.push_str(&String::from_utf8_lossy(valid));
        text.push(char::REPLACEMENT_CHARACTER);
        let skipped = match invalid {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => error.error_len().unwrap_or(invalid.len()),
        };
        rest = &invalid[skipped..];
    }
    text + &String::from_utf8_lossy(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let mut input = Input::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!((input.buffer(), input.buffer()), (Ok(None), Ok(Some(&[][..]))));
        assert!(input.rest.is_empty());
    }

    #[test]
    fn length_beyond_the_record_cannot_be_read() {
        for length in [2, i32::MAX, -2, i32::MIN] {
            let record = [&length.to_be_bytes()[..], b"a"].concat();
            assert_eq!(Input::new(&record).buffer(), Err(ZkError::MarshallingError), "{length}");
        }
    }

    #[test]
    fn negative_count_is_an_empty_list_and_a_huge_one_cannot_be_read() {
        let list = |count: i32| Input::new(&count.to_be_bytes()).vector(Input::int);
        assert_eq!(list(-1), Ok(None));
        assert_eq!(list(-7), Ok(Some(Vec::new())));
        assert_eq!(list(i32::MAX), Err(ZkError::MarshallingError));
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacements() {
        let mut input = Input::new(b"\0\0\0\x03/\xff\xfe");
        assert_eq!(input.text().as_deref(), Ok("/\u{fffd}\u{fffd}"));
    }

    /// As a real 3.8.0 server echoes it.
    #[test]
    fn surrogate_becomes_one_replacement_and_a_cut_character_another() {
        assert_eq!(lossy(b"/\xed\xa0\x80x"), "/\u{fffd}x");
        assert_eq!(lossy(b"a\xf0\x9f\x98"), "a\u{fffd}");
    }
}
