//! A task's files: blobs put where the child reads them, and what it wrote made blobs.

use crate::pipe::{Made, Task};
use crate::{Item, Order, Product};
use jobs::{Blobs, Digest, Reason};
use std::path::{Path, PathBuf};

/// Files of a result at most, and bytes of their names.
const MOST: usize = 10_000;
const LONGEST: usize = 200;

/// Why a task's files could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    /// Another attempt may succeed.
    pub(crate) again: bool,
}

impl Trouble {
    pub(crate) fn new(code: &str, message: impl ToString, again: bool) -> Self {
        Self { reason: Reason::new(code, message.to_string()), again }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let code = match error.kind() {
            StorageFull | QuotaExceeded => "disk_full",
            _ => "io",
        };
        // The path is the server's own business.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::new(code, format!("{name}: {error}"), true)
    }

    fn blob(error: &jobs::Error) -> Self {
        match error {
            jobs::Error::NoBlob(digest) => {
                Self::new("input_gone", format!("input {digest} is not there"), false)
            }
            jobs::Error::Damaged { .. } => Self::new("input_damaged", error, false),
            jobs::Error::DiskFull(_) => Self::new("disk_full", "no space left for the result", true),
            other => Self::new("io", other, true),
        }
    }
}

/// A task's own folder, removed when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, with the order's blobs in it as files.
    pub(crate) async fn new(place: PathBuf, order: &Order, blobs: &Blobs) -> Result<(Self, Task), Trouble> {
        let task = Task { order: order.clone(), inputs: place.join("in"), output: place.join("out") };
        // From here on it is removed, whatever happens.
        let scratch = Self(place);
        for folder in [&task.inputs, &task.output] {
            tokio::fs::create_dir_all(folder).await.map_err(|error| Trouble::io(folder, &error))?;
        }
        let alignment = order.alignment.iter().map(|alignment| &alignment.sha256);
        let templates = order.templates.iter().map(|template| &template.sha256);
        let paths = task.alignment().into_iter().chain(task.templates());
        for (sha256, path) in alignment.chain(templates).zip(paths) {
            let digest: Digest = sha256
                .parse()
                .map_err(|error| Trouble::new("bad_order", format!("input: {error}"), false))?;
            let bytes = blobs.get(digest).await.map_err(|error| Trouble::blob(&error))?;
            tokio::fs::write(&path, bytes).await.map_err(|error| Trouble::io(&path, &error))?;
        }
        Ok((scratch, task))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept away at the next start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Stores what a child made. All blobs are on disk when it returns.
pub(crate) async fn collect(
    task: &Task,
    made: Made,
    version: &str,
    seconds: f64,
    blobs: &Blobs,
) -> Result<Product, Trouble> {
    let mut names = names(&task.output).await?;
    names.sort();
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = task.output.join(&name);
        let bytes = tokio::fs::read(&path).await.map_err(|error| Trouble::io(&path, &error))?;
        let length = bytes.len() as u64;
        let sha256 = blobs.put(bytes).await.map_err(|error| Trouble::blob(&error))?.to_string();
        files.push(Item { name, sha256, bytes: length });
    }
    Ok(Product {
        version: version.to_owned(),
        device: made.device,
        model: made.model,
        weights_sha256: made.weights_sha256,
        residues: task.order.sequence.len() as u32,
        seconds,
        ranking: made.ranking,
        files,
    })
}

async fn names(folder: &Path) -> Result<Vec<String>, Trouble> {
    let trouble = |error| Trouble::io(folder, &error);
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await.map_err(trouble)?;
    while let Some(entry) = entries.next_entry().await.map_err(trouble)? {
        let name = entry.file_name().into_string().ok().filter(|name| is_plain(name));
        let file = entry.file_type().await.map_err(trouble)?.is_file();
        match name.filter(|_| file && names.len() < MOST) {
            Some(name) => names.push(name),
            None => {
                let what =
                    format!("expected at most {MOST} plain files, found another: {:?}", entry.file_name());
                return Err(Trouble::new("fold_failed", what, false));
            }
        }
    }
    Ok(names)
}

/// Letters, digits, `_`, `-` and `.`, not at the front.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Alignment, Options, Template};

    fn order(alignment: Digest, template: Digest) -> Order {
        Order {
            name: "t".into(),
            sequence: "MKV".into(),
            alignment: Some(Alignment { sha256: alignment.to_string(), rows: 2 }),
            templates: vec![Template { name: "x.pdb".into(), sha256: template.to_string(), chain: None }],
            options: Options::default(),
            weights_sha256: String::new(),
        }
    }

    #[tokio::test]
    async fn blobs_become_files_and_files_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        let (a, t) =
            (blobs.put(b">q\nMKV\n".to_vec()).await.unwrap(), blobs.put(b"ATOM".to_vec()).await.unwrap());
        let place = folder.path().join("scratch");
        let (scratch, task) = Scratch::new(place.clone(), &order(a, t), &blobs).await.unwrap();
        assert_eq!(std::fs::read(task.alignment().unwrap()).unwrap(), b">q\nMKV\n");
        assert_eq!(std::fs::read(&task.templates()[0]).unwrap(), b"ATOM");

        let made = || Made {
            model: "m".into(),
            weights_sha256: "w".into(),
            device: "cpu".into(),
            ranking: Vec::new(),
        };
        std::fs::write(task.output.join("rank_001.pdb"), "ATOM 1").unwrap();
        std::fs::write(task.output.join("a.json"), "{}").unwrap();
        let product = collect(&task, made(), "foldry 1", 1.5, &blobs).await.unwrap();
        let names: Vec<_> = product.files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
        assert_eq!(names, [("a.json", 2), ("rank_001.pdb", 6)]);
        let digest = product.file("rank_001.pdb").unwrap().sha256.parse().unwrap();
        assert_eq!(blobs.get(digest).await.unwrap(), b"ATOM 1");
        assert_eq!((product.residues, product.blobs().len()), (3, 2));

        std::fs::write(task.output.join(".hidden"), "").unwrap();
        let refused = collect(&task, made(), "foldry 1", 1.5, &blobs).await.unwrap_err();
        assert!(refused.reason.message.contains(".hidden") && !refused.again);
        drop(scratch);
        assert!(!place.exists());
    }

    #[tokio::test]
    async fn an_input_that_is_gone_is_no_reason_to_try_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        let place = folder.path().join("scratch");
        let missing = order(Digest::of(b"1"), Digest::of(b"2"));
        let trouble = Scratch::new(place.clone(), &missing, &blobs).await.err().unwrap();
        assert_eq!((trouble.reason.code.as_str(), trouble.again), ("input_gone", false));
        assert!(!place.exists());
    }
}
