//! Names of the parts of a set: `train.foldset` becomes `train.000.foldset`, `train.001.foldset`, ….

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const ENDING: &str = "foldset";

/// Name of a part; the ending `.foldset` stays last.
pub(crate) fn part(path: &Path, part: usize) -> PathBuf {
    let (mut name, rest) = match path.extension() {
        Some(ending) if ending == ENDING => {
            (path.file_stem().unwrap_or_default().to_os_string(), format!(".{part:03}.{ENDING}"))
        }
        _ => (path.file_name().unwrap_or_default().to_os_string(), format!(".{part:03}")),
    };
    name.push(rest);
    path.with_file_name(name)
}

/// The set's name and the number, if `path` is named as a part.
pub(crate) fn whole(path: &Path) -> Option<(PathBuf, usize)> {
    let ending = path.extension().filter(|e| *e == ENDING);
    let numbered =
        if ending.is_some() { PathBuf::from(path.file_stem()?) } else { PathBuf::from(path.file_name()?) };
    let number = numbered.extension()?.to_str()?;
    if number.len() != 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut name = OsString::from(numbered.file_stem()?);
    if ending.is_some() {
        name.push(".");
        name.push(ENDING);
    }
    Some((path.with_file_name(name), number.parse().ok()?))
}

/// The file of a set that is there already: the whole, or its first part.
pub fn exists(path: &Path) -> Option<PathBuf> {
    [path.to_path_buf(), part(path, 0)].into_iter().find(|p| p.exists())
}

/// Where the report of an ingest is by default: beside the set, `train.report.tsv`, also for its parts.
pub fn report(path: &Path) -> PathBuf {
    let set = whole(path).map_or(path.to_path_buf(), |(set, _)| set);
    let mut name = match set.extension() {
        Some(ending) if ending == ENDING => set.file_stem().unwrap_or_default().to_os_string(),
        _ => set.file_name().unwrap_or_default().to_os_string(),
    };
    name.push(".report.tsv");
    set.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_and_back() {
        for (set, name) in
            [("a/train.foldset", "a/train.007.foldset"), ("set", "set.007"), ("a.b", "a.b.007")]
        {
            assert_eq!(part(Path::new(set), 7), Path::new(name));
            assert_eq!(whole(Path::new(name)), Some((PathBuf::from(set), 7)));
        }
        for name in ["a/train.foldset", "a/train.000.foldset", "a/train"] {
            assert_eq!(report(Path::new(name)), Path::new("a/train.report.tsv"));
        }
        assert_eq!(whole(Path::new("train.foldset")), None);
        assert_eq!(whole(Path::new("train.1234.foldset")), None);
    }
}
