//! What can be wrong with a file of arrays; every message names file and entry, expected and found.

/// A file of arrays that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The container itself is not what it should be.
    #[error("{file}: expected {expected}, found {found}")]
    Format {
        /// The file.
        file: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// One entry of the container is not what it should be.
    #[error("{file}: {entry}: expected {expected}, found {found}")]
    Entry {
        /// The file.
        file: String,
        /// The array or archive entry.
        entry: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file asks for more than [`super::Limits`] allow.
    #[error("{file}: {entry}: {what} over the limit of {limit}")]
    Limit {
        /// The file.
        file: String,
        /// The array or archive entry.
        entry: String,
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A checkpoint names a Python object that is not a tensor; nothing in a file is executed.
    #[error("{file}: {entry}: refused the python object {global}: only tensors in plain containers are read")]
    Refused {
        /// The file.
        file: String,
        /// The pickle inside it.
        entry: String,
        /// Module and name of the object.
        global: String,
    },
}

impl FileError {
    pub(crate) fn io(file: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { file: file.into(), source }
    }

    pub(crate) fn format(file: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { file: file.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn entry(
        file: &str,
        entry: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Entry { file: file.into(), entry: clip(entry), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn limit(file: &str, entry: &str, what: impl Into<String>, limit: u64) -> Self {
        Self::Limit { file: file.into(), entry: clip(entry), what: what.into(), limit }
    }
}

/// At most 200 characters of text that came from a file, control characters escaped.
pub(crate) fn clip(text: &str) -> String {
    let mut out: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    if text.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}
