//! Frames — decides where one frame ends and the next begins. It never looks inside.

/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;

/// Frames that have been read are dropped from the buffer once they are so many bytes.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Why a connection has to be closed without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// "a longer or negative length closes the connection, no reply"
    #[error("a frame of {length} bytes; at most {max} are allowed")]
    Length {
        /// As announced, in bytes.
        length: i32,
        /// jute.maxbuffer, in bytes.
        max: u32,
    },
    /// The record ended too early, or holds what it cannot, where no reply could say so: in a connect
    /// request, a request's header, an auth packet, or a frame of a server.
    #[error("a record that cannot be read")]
    Record,
}

/// Bytes that have come, cut into frames.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    length_max: u32,
}

impl Frames {
    pub(super) fn new(length_max: u32) -> Self {
        Self { bytes: Vec::new(), read: 0, length_max }
    }

    /// Takes bytes in.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(READ_BYTES_MAX);
            self.read = 0;
        } else if self.read > READ_BYTES_MAX {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether anything has come and was not read.
    pub(super) fn has_waiting(&self) -> bool {
        self.read < self.bytes.len()
    }

    /// The next frame without its length, once it is whole.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Violation> {
        let Some((head, rest)) = self.bytes[self.read..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let (length, max) = (i32::from_be_bytes(*head), self.length_max);
        let whole = u32::try_from(length).ok().filter(|length| *length <= max);
        let whole = whole.ok_or(Violation::Length { length, max })? as usize;
        let Some(frame) = rest.get(..whole) else { return Ok(None) };
        self.read += LENGTH_BYTES + whole;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_comes_when_its_last_byte_has_come() {
        let mut frames = Frames::new(10);
        for byte in [0, 0, 0, 2, 7] {
            frames.feed(&[byte]);
            assert_eq!(frames.next(), Ok(None));
        }
        frames.feed(&[8, 0, 0]);
        assert_eq!(frames.next(), Ok(Some(&[7, 8][..])));
        assert_eq!(frames.next(), Ok(None));
        frames.feed(&[0, 0]);
        assert_eq!(frames.next(), Ok(Some(&[][..])));
    }

    #[test]
    fn frame_over_the_limit_is_a_violation_before_it_has_come() {
        for length in [11, i32::MAX, -1] {
            let mut frames = Frames::new(10);
            frames.feed(&length.to_be_bytes());
            assert_eq!(frames.next(), Err(Violation::Length { length, max: 10 }));
        }
    }

    #[test]
    fn announced_length_sets_no_memory_aside() {
        let mut frames = Frames::new(0xf_ffff);
        frames.feed(&0xf_fffe_i32.to_be_bytes());
        assert_eq!(frames.next(), Ok(None));
        assert!(frames.bytes.capacity() < 64);
    }

    #[test]
    fn buffer_does_not_keep_what_was_read() {
        let mut frames = Frames::new(0xf_ffff);
        let frame = [&1_000_i32.to_be_bytes()[..], &[0; 1_000]].concat();
        for _ in 0..1_000 {
            frames.feed(&frame);
            frames.feed(&[0, 0]);
            frames.next().unwrap().unwrap();
            assert_eq!(frames.next(), Ok(None));
            frames.feed(&[0, 0]);
            frames.next().unwrap().unwrap();
        }
        assert!(frames.bytes.capacity() < 4 * READ_BYTES_MAX);
    }
}
