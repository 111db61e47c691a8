//! Numbers in text fields: decimals, integers, and hybrid-36 (cci.lbl.gov/hybrid_36), how PDB columns
//! count beyond 99,999 atoms and 9,999 residues.

/// A finite decimal number; mmCIF's `1.234(5)` gives 1.234. `None` for anything else.
pub(crate) fn decimal(field: &[u8]) -> Option<f32> {
    let field = without_uncertainty(field.trim_ascii());
    // Fast path: digits around one point. m/10^k is rounded once to f64 and once to f32, which is what
    // AlphaFold's float32(float(text)) does.
    let (negative, digits) = match field.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, field),
    };
    let (mut mantissa, mut decimals, mut point, mut any) = (0u64, 0usize, false, false);
    for &c in digits {
        match c {
            b'0'..=b'9' if digits.len() <= 16 => {
                mantissa = mantissa * 10 + u64::from(c - b'0');
                decimals += usize::from(point);
                any = true;
            }
            b'.' if !point => point = true,
            _ => return slow(field),
        }
    }
    if !any {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(decimals)?;
    Some((if negative { -value } else { value }) as f32)
}

const POWERS: [f64; 17] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];

/// Exponents and very long numbers; words such as `nan` are no numbers here.
fn slow(field: &[u8]) -> Option<f32> {
    let numeric = |c: &u8| matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !field.iter().all(numeric) {
        return None;
    }
    let value: f64 = std::str::from_utf8(field).ok()?.parse().ok()?;
    Some(value as f32).filter(|v| v.is_finite())
}

fn without_uncertainty(field: &[u8]) -> &[u8] {
    let open = field.iter().position(|&c| c == b'(');
    match (open, field.last()) {
        (Some(i), Some(b')')) if field[i + 1..field.len() - 1].iter().all(u8::is_ascii_digit) => &field[..i],
        _ => field,
    }
}

/// A decimal integer.
pub(crate) fn integer(field: &[u8]) -> Option<i32> {
    std::str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}

/// A number in a field of `width` columns: decimal, or hybrid-36 from `A000…` upper case, then lower case.
pub(crate) fn hybrid36(field: &[u8], width: u32) -> Option<i32> {
    let field = field.trim_ascii();
    let first = *field.first()?;
    if !first.is_ascii_alphabetic() {
        return integer(field);
    }
    if field.len() != width as usize {
        return None;
    }
    let lower = first.is_ascii_lowercase();
    let mut value = 0i64;
    for &c in field {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'A'..=b'Z' if !lower => c - b'A' + 10,
            b'a'..=b'z' if lower => c - b'a' + 10,
            _ => return None,
        };
        value = value * 36 + i64::from(digit);
    }
    let block = 26 * 36i64.pow(width - 1);
    let offset = 10i64.pow(width) - 10 * 36i64.pow(width - 1) + if lower { block } else { 0 };
    i32::try_from(value + offset).ok()
}

/// `value` right-aligned in `width` columns, in hybrid-36 where decimal does not fit. Beyond hybrid-36's
/// range (or below -10^(width-1)) it wraps, as no reader could do better.
pub(crate) fn to_hybrid36(value: i64, width: u32) -> String {
    let decimal = 10i64.pow(width);
    if (-(decimal / 10) < value) && value < decimal {
        return format!("{value:>w$}", w = width as usize);
    }
    let block = 26 * 36i64.pow(width - 1);
    let beyond = (value - decimal).rem_euclid(2 * block);
    let (mut rest, letters) =
        if beyond < block { (beyond, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ") } else { (beyond - block, LOWER) };
    let mut digits = vec![b'0'; width as usize];
    for (i, digit) in digits.iter_mut().enumerate().rev() {
        let d = if i == 0 { rest + 10 } else { rest % 36 };
        rest /= 36;
        *digit = if d < 10 { b'0' + d as u8 } else { letters[(d as usize - 10).min(25)] };
    }
    digits.into_iter().map(char::from).collect()
}

const LOWER: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// Input bytes for an error message: readable, quoted, at most 40 characters.
pub(crate) fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let text = text.trim();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Trimmed text; bytes that are not UTF-8 become U+FFFD, control characters spaces.
pub(crate) fn text(field: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(field.trim_ascii());
    lossy.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"  27.201"), Some(27.201));
        assert_eq!(decimal(b"-0.5"), Some(-0.5));
        assert_eq!(decimal(b"+.5"), Some(0.5));
        assert_eq!(decimal(b"7."), Some(7.0));
        assert_eq!(decimal(b"1.234(56)"), Some(1.234));
        assert_eq!(decimal(b"1.5e2"), Some(150.0));
        assert_eq!(decimal(b"12345678901234567890.5"), Some(1.234_567_9e19));
        for bad in ["", " ", ".", "-", "nan", "inf", "1e99", "27.2x1", "1.2.3", "--1", "1(2", "1 2", "é"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn decimals_agree_with_the_standard_parser() {
        for i in 0..20_000i32 {
            let written = format!("{}{}.{:03}", if i % 3 == 0 { "-" } else { "" }, i / 7, (i * 37) % 1000);
            assert_eq!(decimal(written.as_bytes()), written.parse::<f64>().ok().map(|v| v as f32));
        }
    }

    #[test]
    fn hybrid36_known_values() {
        // Values of the format's own description.
        let known = [("9999", 9999), ("A000", 10_000), ("A001", 10_001), ("ZZZZ", 1_223_055)];
        for (written, value) in
            known.into_iter().chain([("a000", 1_223_056), ("zzzz", 2_436_111), (" -98", -98)])
        {
            assert_eq!(hybrid36(written.as_bytes(), 4), Some(value), "{written}");
            assert_eq!(to_hybrid36(i64::from(value), 4), written);
        }
        assert_eq!(hybrid36(b"A0000", 5), Some(100_000));
        assert_eq!(hybrid36(b"zzzzz", 5), Some(87_440_031));
        assert_eq!(to_hybrid36(87_440_031, 5), "zzzzz");
        for bad in ["A00", "a0B0", "A0b0", "A-00", "", "12x4"] {
            assert_eq!(hybrid36(bad.as_bytes(), 4), None, "{bad}");
        }
        for value in (-999..2_436_112).step_by(613) {
            assert_eq!(hybrid36(to_hybrid36(value, 4).as_bytes(), 4), Some(value as i32));
        }
        assert_eq!(to_hybrid36(i64::MAX / 4, 5).len(), 5, "wraps instead of breaking the columns");
        assert_eq!(to_hybrid36(-5_000, 4).len(), 4);
    }

    #[test]
    fn shown_is_short() {
        assert_eq!(shown(b" 27.2x1 "), "\"27.2x1\"");
        assert!(shown(&[0xff; 500]).chars().count() < 60);
    }
}
