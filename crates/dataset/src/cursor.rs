//! Little-endian numbers into and out of byte strings; nothing is read that is not there.

/// A place in bytes that moves forward.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(format!("expected {count} more bytes, found {}", self.rest.len()));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// All bytes that are left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, String> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn f32(&mut self) -> Result<f32, String> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.array()
    }

    /// Seven bits a byte, least significant first; the high bit says that more follow.
    pub fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("expected a number of at most nine bytes, found more".into())
    }

    /// Signed: 0, -1, 1, -2, … as 0, 1, 2, 3, ….
    pub fn signed(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A signed number that fits 32 bits.
    pub fn i32(&mut self) -> Result<i32, String> {
        let value = self.signed()?;
        i32::try_from(value).map_err(|_| format!("expected a number of 32 bits, found {value}"))
    }

    /// Nothing may be left over.
    pub fn end(self) -> Result<(), String> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(format!("expected the end, found {n} more bytes")),
        }
    }
}

/// What [`Cursor::varint`] reads.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What [`Cursor::signed`] reads.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let values = [0, 1, -1, 63, -64, 64, 8191, -8193, i64::from(i32::MAX), i64::from(i32::MIN), 1 << 60];
        let mut bytes = Vec::new();
        values.iter().for_each(|&v| put_signed(&mut bytes, v));
        let mut cursor = Cursor::new(&bytes);
        for value in values {
            assert_eq!(cursor.signed().unwrap(), value);
        }
        cursor.end().unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        assert_eq!(Cursor::new(&[1, 2, 3]).u32().unwrap_err(), "expected 4 more bytes, found 3");
        assert!(Cursor::new(&[0x80, 0x80]).varint().is_err());
        assert!(Cursor::new(&[0xff; 12]).varint().unwrap_err().contains("nine bytes"));
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).i32().is_err());
        assert!(Cursor::new(&[7]).end().unwrap_err().contains("1 more"));
    }
}
