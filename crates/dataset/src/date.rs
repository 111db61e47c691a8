//! A day, as structure files give it.

use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar; ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// `None` if there is no such day between the years 1000 and 9999.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1000..10_000).contains(&year) && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }

    /// `YYYYMMDD` as a number.
    pub(crate) fn packed(self) -> u32 {
        u32::from(self.year) * 10_000 + u32::from(self.month) * 100 + u32::from(self.day)
    }

    pub(crate) fn unpacked(number: u32) -> Option<Self> {
        let year = u16::try_from(number / 10_000).ok()?;
        Self::new(year, (number / 100 % 100) as u8, (number % 100) as u8)
    }
}

/// The text is no day in the form `YYYY-MM-DD`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a date YYYY-MM-DD, found {0:?}")]
pub struct NotADate(pub String);

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let mut fields = text.split('-');
        let mut number = |width: usize| {
            let field = fields.next().filter(|f| f.len() == width && f.bytes().all(|b| b.is_ascii_digit()));
            field.and_then(|f| f.parse::<u16>().ok())
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let date = match (year, month, day, fields.next()) {
            (Some(year), Some(month), Some(day), None) => Self::new(year, month as u8, day as u8),
            _ => None,
        };
        date.ok_or_else(|| NotADate(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_and_are_not() {
        for text in ["1976-09-01", "2000-02-29", "2024-12-31"] {
            let date: Date = text.parse().unwrap();
            assert_eq!(date.to_string(), text);
            assert_eq!(Date::unpacked(date.packed()), Some(date));
        }
        for text in ["1900-02-29", "2024-13-01", "2024-1-01", "24-01-01", "2024-01-01-01", "", "2024-01-0x"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert!("2018-04-30".parse::<Date>().unwrap() < "2018-05-01".parse().unwrap());
        assert_eq!(Date::unpacked(0), None);
    }
}
