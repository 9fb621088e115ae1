//! Jute — decides how a client writes and reads bytes, as far as recordings need it. It never looks at the
//! server's codec: what is compared must not come from what is tested.

use crate::{player::Stop, recording::SURROGATE_SHIFT};

/// Bytes that a client writes.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn buffer(self, buffer: Option<&[u8]>) -> Self {
        match buffer {
            None => self.int(-1),
            Some(bytes) => self.int(bytes.len() as i32).bytes(bytes),
        }
    }

    pub(crate) fn string(self, text: Option<&str>) -> Self {
        let bytes = text.map(|text| text.chars().flat_map(utf8).collect::<Vec<u8>>());
        self.buffer(bytes.as_deref())
    }

    pub(crate) fn vector<T>(
        self,
        items: Option<&[T]>,
        each: impl Fn(Self, &T) -> Result<Self, Stop>,
    ) -> Result<Self, Stop> {
        let Some(items) = items else { return Ok(self.int(-1)) };
        items.iter().try_fold(self.int(items.len() as i32), each)
    }
}

/// UTF-8 of a character, and of the surrogates that a private plane stands for.
fn utf8(c: char) -> Vec<u8> {
    match u32::from(c).checked_sub(SURROGATE_SHIFT) {
        Some(unit @ 0xD800..=0xDFFF) => {
            vec![0xE0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3F) as u8, 0x80 | (unit & 0x3F) as u8]
        }
        _ => c.to_string().into_bytes(),
    }
}

/// The text of these bytes, surrogates included.
fn text(bytes: &[u8]) -> Result<String, Stop> {
    let mut text = String::new();
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => return Ok(text + valid),
            Err(error) => {
                let (valid, invalid) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).expect("valid up to there"));
                let [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] = invalid else {
                    return Err(Stop::Fault(format!("text that is no UTF-8: {bytes:x?}")));
                };
                let unit = 0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
                text.push(char::from_u32(unit + SURROGATE_SHIFT).expect("in a private plane"));
                rest = &invalid[3..];
            }
        }
    }
}

/// Bytes that a server sent.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are not read yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Stop> {
        let (from, left) = (self.at, self.left());
        if count > left {
            return Err(Stop::Fault(format!("a frame with {left} bytes where {count} are wanted")));
        }
        self.at += count;
        Ok(&self.bytes[from..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    pub(crate) fn int(&mut self) -> Result<i32, Stop> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Stop> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Stop> {
        Ok(self.array::<1>()? != [0])
    }

    pub(crate) fn buffer(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        match usize::try_from(self.int()?) {
            Ok(count) => Ok(Some(self.take(count)?.to_vec())),
            Err(_negative) => Ok(None),
        }
    }

    pub(crate) fn string(&mut self) -> Result<Option<String>, Stop> {
        self.buffer()?.map(|bytes| text(&bytes)).transpose()
    }

    pub(crate) fn vector<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<Option<Vec<T>>, Stop> {
        match usize::try_from(self.int()?) {
            Ok(count) => (0..count).map(|_| each(self)).collect::<Result<_, _>>().map(Some),
            Err(_negative) => Ok(None),
        }
    }

    /// Leaves the rest unread.
    pub(crate) fn skip_rest(&mut self) {
        self.at = self.bytes.len();
    }
}
