//! A row of integers with as many bits each as most of them need; the others are listed.

use crate::cursor::{Cursor, put_signed, put_varint};

/// Widest bit field: 2³⁰ hundredths of an Å is beyond any coordinate.
const MAX_WIDTH: u8 = 31;

/// Writes base, width, the values outside `base..base + 2^width` with their places, then the bits.
pub(crate) fn put(out: &mut Vec<u8>, values: &[i32]) {
    let (base, width) = cheapest(values);
    let end = i64::from(base) + (1i64 << width);
    let outside = |v: i32| !(i64::from(base)..end).contains(&i64::from(v));
    put_signed(out, base.into());
    out.push(width);
    put_varint(out, values.iter().filter(|v| outside(**v)).count() as u64);
    let mut next = 0;
    for (i, &value) in values.iter().enumerate().filter(|(_, v)| outside(**v)) {
        put_varint(out, (i - next) as u64);
        put_signed(out, value.into());
        next = i + 1;
    }
    let (mut buffer, mut filled) = (0u64, 0);
    for &value in values {
        let field = if outside(value) { 0 } else { (i64::from(value) - i64::from(base)) as u64 };
        buffer |= field << filled;
        filled += u32::from(width);
        while filled >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(buffer as u8);
    }
}

/// Reads `count` values.
pub(crate) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i32>, String> {
    let base = i64::from(cursor.i32()?);
    let width = cursor.u8()?;
    if width > MAX_WIDTH {
        return Err(format!("expected at most {MAX_WIDTH} bits a number, found {width}"));
    }
    let listed = cursor.varint()?;
    if listed > count as u64 {
        return Err(format!("expected at most {count} listed numbers, found {listed}"));
    }
    let mut outside = Vec::with_capacity(listed as usize);
    let mut next = 0u64;
    for _ in 0..listed {
        let place = next.saturating_add(cursor.varint()?);
        if place >= count as u64 {
            return Err(format!("expected a place below {count}, found {place}"));
        }
        outside.push((place as usize, cursor.i32()?));
        next = place + 1;
    }
    let bytes = cursor.take((count * usize::from(width)).div_ceil(8))?;
    let mut values = Vec::with_capacity(count);
    let (mut buffer, mut filled, mut bytes) = (0u64, 0, bytes.iter());
    for _ in 0..count {
        while filled < u32::from(width) {
            buffer |= u64::from(*bytes.next().unwrap_or(&0)) << filled;
            filled += 8;
        }
        let value = base + (buffer & ((1 << width) - 1)) as i64;
        buffer >>= width;
        filled -= u32::from(width);
        values.push(i32::try_from(value).map_err(|_| format!("expected 32 bits, found {value}"))?);
    }
    for (place, value) in outside {
        values[place] = value;
    }
    Ok(values)
}

/// Base and width with the fewest bytes: for each width the window that holds most values.
fn cheapest(values: &[i32]) -> (i32, u8) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let mut best = (u64::MAX, 0, 0);
    for width in 0..=MAX_WIDTH {
        let (mut low, mut held, mut base) = (0, 0, sorted.first().copied().unwrap_or(0));
        for high in 0..sorted.len() {
            while i64::from(sorted[high]) - i64::from(sorted[low]) >= 1i64 << width {
                low += 1;
            }
            if high + 1 - low > held {
                (held, base) = (high + 1 - low, sorted[low]);
            }
        }
        // A listed value takes about five bytes: its place and itself.
        let bits = (sorted.len() * usize::from(width) + (sorted.len() - held) * 40) as u64;
        if bits < best.0 {
            best = (bits, base, width);
        }
        if held == sorted.len() {
            break;
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_row_comes_back() {
        let ramp: Vec<i32> = (0..97).map(|i| i * i % 61 - 30).collect();
        let mut spiked = ramp.clone();
        spiked[0] = i32::MAX;
        spiked[50] = i32::MIN;
        spiked[96] = -100_000_000;
        let rows = [vec![], vec![5], vec![-7; 13], ramp.clone(), spiked, vec![i32::MIN, i32::MAX, 0]];
        for row in rows {
            let mut bytes = Vec::new();
            put(&mut bytes, &row);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(take(&mut cursor, row.len()).unwrap(), row);
            cursor.end().unwrap();
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &ramp);
        assert_eq!(bytes.len(), 3 + (97usize * 6).div_ceil(8)); // -30..=30 fits six bits
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        for (bytes, word) in [
            (&[0, 32, 0][..], "bits"),
            (&[0, 1, 9], "listed"),
            (&[0, 1, 1, 5, 0], "place"),
            (&[0, 8, 0, 1, 2], "more bytes"),
        ] {
            assert!(take(&mut Cursor::new(bytes), 3).unwrap_err().contains(word), "{word}");
        }
    }
}
