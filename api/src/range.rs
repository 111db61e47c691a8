//! One part of a file, as the header `Range` asks for it (RFC 9110 §14).

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range, several ranges, or a unit that is not known, which a server may ignore.
    Whole,
    /// From the first to the last byte, both included.
    Bytes(u64, u64),
    /// Nothing lies there.
    Outside,
}

/// What `header` means for a file of `length` bytes.
pub(crate) fn part(header: Option<&str>, length: u64) -> Part {
    let Some((first, last)) = header.and_then(bounds) else { return Part::Whole };
    match (first, last) {
        (None, None) => Part::Whole,
        // The last bytes.
        (None, Some(count)) if count == 0 || length == 0 => Part::Outside,
        (None, Some(count)) => Part::Bytes(length.saturating_sub(count), length - 1),
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), _) if first >= length => Part::Outside,
        (Some(first), last) => Part::Bytes(first, last.unwrap_or(u64::MAX).min(length - 1)),
    }
}

fn bounds(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        for (header, expected) in [
            ("bytes=0-4", Part::Bytes(0, 4)),
            ("bytes=7-", Part::Bytes(7, 9)),
            ("bytes=7-99", Part::Bytes(7, 9)),
            ("bytes=-3", Part::Bytes(7, 9)),
            ("bytes=-30", Part::Bytes(0, 9)),
            ("bytes=10-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=4-3", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=-", Part::Whole),
        ] {
            assert_eq!(part(Some(header), 10), expected, "{header}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::Outside);
    }
}
