//! The file of keys: JSON, replaced as a whole, so that a reader sees the old or the new one.

use super::{Key, KeysError, PREFIX};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    keys: Vec<Key>,
}

/// All keys, revoked ones included, in the order they were made.
/// # Errors  `Io`, `Format`.
pub fn list(path: &Path) -> Result<Vec<Key>, KeysError> {
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    let content: Content = serde_json::from_str(&text).map_err(|error| format(path, error.to_string()))?;
    for key in &content.keys {
        if key.sha256.parse::<jobs::Digest>().is_err() {
            return Err(format(path, format!("key {}: `sha256` that is none", key.id)));
        }
        check_tenant(&key.tenant)?;
    }
    Ok(content.keys)
}

/// Makes a key like `new` with an id, a secret and the present time, and returns it with its token,
/// which is shown once and kept nowhere. Makes the file if there is none.
/// # Errors  `Io`, `Format`, `Tenant`.
pub fn add(path: &Path, new: Key) -> Result<(Key, String), KeysError> {
    check_tenant(&new.tenant)?;
    let (id, secret) = (random::<6>(path)?, random::<32>(path)?);
    let sha256 = hex(&Sha256::digest(secret.as_bytes()));
    let key = Key { id, sha256, created: now(), revoked: None, ..new };
    change(path, |keys| {
        keys.push(key.clone());
        Ok(())
    })?;
    let token = format!("{PREFIX}{}.{secret}", key.id);
    Ok((key, token))
}

/// Revokes a key; one that was revoked stays so.
/// # Errors  `Io`, `Format`, `Unknown`.
pub fn revoke(path: &Path, id: &str) -> Result<Key, KeysError> {
    let mut revoked = None;
    change(path, |keys| {
        let key =
            keys.iter_mut().find(|key| key.id == id).ok_or_else(|| KeysError::Unknown(id.to_owned()))?;
        key.revoked.get_or_insert_with(now);
        revoked = Some(key.clone());
        Ok(())
    })?;
    Ok(revoked.expect("set above"))
}

/// Reads, changes and replaces the file; two that do so at the same time do it one after the other.
fn change(path: &Path, work: impl FnOnce(&mut Vec<Key>) -> Result<(), KeysError>) -> Result<(), KeysError> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let lock_path = beside(".lock");
    let lock = private().open(&lock_path).map_err(io(&lock_path))?;
    lock.lock().map_err(io(&lock_path))?;
    let mut keys = match list(path) {
        Err(KeysError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Vec::new(),
        keys => keys?,
    };
    work(&mut keys)?;
    let text = serde_json::to_string_pretty(&Content { keys }).expect("strings and numbers are JSON") + "\n";
    let new = beside(".new");
    let write = |mut file: File| {
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    private().open(&new).and_then(write).map_err(io(&new))?;
    std::fs::rename(&new, path).map_err(io(path))?;
    // The rename is on disk only with the folder; a bare file name has none to open.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

/// Hashes are no secrets, but nobody else's business either.
fn private() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn check_tenant(tenant: &str) -> Result<(), KeysError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=64).contains(&tenant.len()) && tenant.chars().all(ok) {
        Ok(())
    } else {
        Err(KeysError::Tenant(tenant.chars().take(80).collect()))
    }
}

fn random<const N: usize>(path: &Path) -> Result<String, KeysError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io(path)(std::io::Error::other(error.to_string())))?;
    Ok(hex(&bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> String {
    jobs::Clock::now(&jobs::SystemClock::default()).to_string()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeysError {
    move |source| KeysError::Io { path: path.to_owned(), source }
}

fn format(path: &Path, found: String) -> KeysError {
    KeysError::Format { path: path.to_owned(), found }
}
