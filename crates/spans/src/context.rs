//! Where a span belongs: W3C Trace Context's `traceparent`, version 00.

/// A trace and a span of it, somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Of the trace, big-endian, not 0.
    pub trace: u128,
    /// Of the span, big-endian, not 0.
    pub span: u64,
    /// Whether whoever began the trace records it; if not, nothing of ours is recorded either.
    pub sampled: bool,
}

impl Context {
    /// Reads `traceparent`; what is none is as if it was not there, as the standard asks.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        // Later versions may say more after the flags.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
        (trace != 0 && span != 0).then_some(Self { trace, span: span as u64, sampled: flags & 1 == 1 })
    }
}

/// So many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && plain).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_nonsense_is_none() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        let wanted = Context { trace, span: 0x00f0_67aa_0ba9_02b7, sampled: true };
        assert_eq!(Context::parse(header), Some(wanted));
        let quiet = header.replace("-01", "-00");
        assert_eq!(Context::parse(&quiet), Some(Context { sampled: false, ..wanted }));
        assert_eq!(Context::parse(&header.replacen("00", "cc", 1)), Some(wanted));
        assert_eq!(Context::parse(&format!("{}-more", header.replacen("00", "cc", 1))), Some(wanted));
        for wrong in [
            "",
            "00",
            &header[..54],
            &format!("{header}-more"),
            &format!("{header}0"),
            &header.replacen("00", "ff", 1),
            &header.to_uppercase(),
            &header.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &header.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &header.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }
}
