//! CIF values as text, quoted where they must be.

/// `value` as one CIF value: bare, in quotes, or `.` if empty. Control characters and line ends become
/// blanks; a text no quotes can hold loses its double quotes to single ones.
pub(super) fn quoted(value: &str) -> String {
    let clean: String =
        value.chars().map(|c| if c.is_control() || !c.is_ascii() { ' ' } else { c }).collect();
    let clean = clean.trim();
    // Room for a line of the format: 2048 characters.
    let clean = clean.get(..1024).unwrap_or(clean);
    if clean.is_empty() {
        return ".".into();
    }
    if is_bare(clean) {
        return clean.into();
    }
    // The format allows inner quotes that no blank follows; several readers do not.
    if !clean.contains('\'') {
        return format!("'{clean}'");
    }
    if !clean.contains('"') {
        return format!("\"{clean}\"");
    }
    format!("\"{}\"", clean.replace('"', "'"))
}

fn is_bare(text: &str) -> bool {
    let safe = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_' | b'(' | b')' | b':' | b'/')
    };
    let keyword = ["data_", "save_", "loop_", "stop_", "global_"];
    let starts = |k: &str| text.get(..k.len()).is_some_and(|t| t.eq_ignore_ascii_case(k));
    text.bytes().all(safe) && !text.starts_with('_') && text != "." && !keyword.iter().any(|k| starts(k))
}

/// A data block or entry name: letters, digits, `-`, `_`, `.`; never empty.
pub(super) fn block_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().take(64).map(keep).collect();
    let name = name.trim_start_matches(['_', '.']);
    if name.is_empty() { "model".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_needed() {
        assert_eq!(quoted("model_1_ptm"), "model_1_ptm");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("O5' end' of"), "\"O5' end' of\"");
        assert_eq!(quoted("a' b\" c"), "\"a' b' c\"");
        assert_eq!(quoted("_tag"), "'_tag'");
        assert_eq!(quoted("Data_x"), "'Data_x'");
        assert_eq!(quoted("?"), "'?'");
        assert_eq!(quoted("a\u{0}\nb"), "'a  b'");
        assert_eq!(quoted(" \t"), ".");
        assert_eq!(block_name("sp|P1 'x'"), "sp_P1__x_");
        assert_eq!(block_name("\u{1}"), "model");
    }
}
