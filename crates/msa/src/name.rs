//! Names of targets: safe as folders everywhere, and unique.

use std::collections::HashMap;

const LONGEST: usize = 100;

/// A safe name, and what it was if that differs.
pub(crate) struct Name {
    pub safe: String,
    pub was: Option<String>,
}

/// The first word of a header, made safe; `unnamed` if nothing is left of it.
pub(crate) fn from_header(header: &str, unnamed: &str) -> Name {
    let word = header.split_whitespace().next().unwrap_or("");
    let safe = Some(sanitise(word)).filter(|s| !s.is_empty()).unwrap_or_else(|| sanitise(unnamed));
    let safe = if safe.is_empty() { "target".to_string() } else { safe };
    let was = (safe != word).then(|| word.chars().take(LONGEST).collect());
    Name { safe, was }
}

/// Letters, digits, `.`, `-` and `_`; no leading `.` or `-`, no trailing `.`, no Windows device name.
fn sanitise(word: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let safe: String = word.chars().take(LONGEST).map(|c| if ok(c) { c } else { '_' }).collect();
    let safe = safe.trim_start_matches(['.', '-', '_']).trim_end_matches('.');
    let stem = safe.split('.').next().unwrap_or("").to_ascii_uppercase();
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.as_bytes()[3].is_ascii_digit());
    if device { format!("{safe}_") } else { safe.to_string() }
}

/// Names given out so far, compared without case as some file systems do, each with the number to try next.
#[derive(Default)]
pub(crate) struct Taken(HashMap<String, usize>);

impl Taken {
    /// `name`, or `name_2`, `name_3`… if it is taken.
    pub fn unique(&mut self, name: &str) -> String {
        let key = name.to_ascii_lowercase();
        let Some(&first) = self.0.get(&key) else {
            self.0.insert(key, 2);
            return name.to_string();
        };
        let mut number = first;
        while self.0.contains_key(&format!("{key}_{number}")) {
            number += 1;
        }
        self.0.insert(key.clone(), number + 1);
        self.0.insert(format!("{key}_{number}"), 2);
        format!("{name}_{number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_folders() {
        for (header, name) in [
            ("sp|P12345|X_HUMAN some protein", "sp_P12345_X_HUMAN"),
            ("../../etc/passwd", "etc_passwd"),
            ("..", "seq"),
            ("", "seq"),
            ("-rf", "rf"),
            ("a:b*c?", "a_b_c_"),
            ("nul.txt", "nul.txt_"),
            ("COM7", "COM7_"),
            ("compound", "compound"),
            ("T1024.", "T1024"),
            ("émile", "mile"),
        ] {
            assert_eq!(from_header(header, "seq").safe, name, "{header}");
        }
        assert_eq!(from_header(&"a".repeat(300), "seq").safe.len(), 100);
        assert_eq!(from_header("..", "..").safe, "target");
        assert!(from_header("plain rest", "seq").was.is_none());
        assert_eq!(from_header("a/b", "seq").was.as_deref(), Some("a/b"));
    }

    #[test]
    fn names_are_unique_without_case() {
        let mut taken = Taken::default();
        let got: Vec<_> = ["a", "A", "a_2", "b", "a"].iter().map(|n| taken.unique(n)).collect();
        assert_eq!(got, ["a", "A_2", "a_2_2", "b", "a_3"]);
    }
}
