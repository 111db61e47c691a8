//! API keys: `foldry_ID.SECRET`. The secret is 256 random bits, of which only the sha256 is kept; the id finds the key.

mod file;

pub use file::{add, list, revoke};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};
use subtle::ConstantTimeEq;

/// What a key begins with, so that tools that look for leaked secrets know it.
pub const PREFIX: &str = "foldry_";

/// The file is looked at at most so often.
const FRESH: Duration = Duration::from_secs(1);

/// A key as it is kept: without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Finds the key; not secret.
    pub id: String,
    /// Of the secret, 64 hexadecimal digits.
    pub sha256: String,
    /// Whose jobs it sees and makes.
    pub tenant: String,
    /// May read the metrics.
    #[serde(default)]
    pub admin: bool,
    /// Of the tenant; with several keys the largest count.
    #[serde(default)]
    pub quotas: KeyQuotas,
    /// Requests per second; bursts of twice as many pass.
    #[serde(default)]
    pub requests_per_second: Option<f64>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was revoked.
    #[serde(default)]
    pub revoked: Option<String>,
}

/// What a tenant may have; `None` is what the server's policy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyQuotas {
    /// Jobs waiting.
    #[serde(default)]
    pub queued: Option<u32>,
    /// Jobs running.
    #[serde(default)]
    pub running: Option<u32>,
    /// Residues (times seeds) accepted within 24 hours.
    #[serde(default)]
    pub residues_per_day: Option<u64>,
}

impl KeyQuotas {
    /// The larger of each; `None`, the server's own, gives way to a number.
    fn max(self, other: Self) -> Self {
        Self {
            queued: self.queued.max(other.queued),
            running: self.running.max(other.running),
            residues_per_day: self.residues_per_day.max(other.residues_per_day),
        }
    }
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a file of keys.
    #[error("{}: expected a file of API keys, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// A tenant's name that cannot be one.
    #[error("tenant {0:?}: expected 1 to 64 letters, digits, `_`, `-` or `.`")]
    Tenant(String),
    /// No key has this id.
    #[error("key {0:?}: not found")]
    Unknown(String),
}

/// The keys of a file, read again when it changes.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    loaded: RwLock<Loaded>,
    looked: Mutex<(Instant, Stamp)>,
}

#[derive(Debug)]
struct Loaded {
    by_id: HashMap<String, Arc<Key>>,
    /// The file is there, or has been.
    wanted: bool,
    /// Rises with every reading.
    generation: u64,
}

/// Tells one content of the file from another; a file is replaced, never written over.
type Stamp = Option<(SystemTime, u64)>;

impl Keys {
    /// Reads the file.
    /// # Errors  `Io`, `Format`.
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let stamp = stamp(path);
        let loaded = Loaded { by_id: by_id(file::list(path)?), wanted: true, generation: 1 };
        Ok(Self::new(path, loaded, stamp))
    }

    /// As `open`, but the file may come later: until then everybody is let in.
    /// # Errors  `Io`, `Format`.
    pub fn open_or_wait(path: &Path) -> Result<Self, KeysError> {
        if path.try_exists().unwrap_or(true) {
            return Self::open(path);
        }
        let loaded = Loaded { by_id: HashMap::new(), wanted: false, generation: 1 };
        Ok(Self::new(path, loaded, None))
    }

    fn new(path: &Path, loaded: Loaded, stamp: Stamp) -> Self {
        Self {
            path: path.to_owned(),
            loaded: RwLock::new(loaded),
            looked: Mutex::new((Instant::now(), stamp)),
        }
    }

    /// Whether a caller must show a key. Once it is so it stays so: a file that went away opens no door.
    pub fn are_wanted(&self) -> bool {
        self.refresh();
        self.loaded.read().expect("no holder panics").wanted
    }

    /// The key that a token shows, unless it was revoked.
    pub fn check(&self, token: &str) -> Option<Arc<Key>> {
        self.refresh();
        let (id, secret) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let key = self.loaded.read().expect("no holder panics").by_id.get(id).cloned()?;
        let found = file::hex(&Sha256::digest(secret.as_bytes()));
        let same: bool = found.as_bytes().ct_eq(key.sha256.as_bytes()).into();
        (same && key.revoked.is_none()).then_some(key)
    }

    /// Number of this reading of the file, and the quotas of each tenant with a live key.
    pub(crate) fn quotas(&self) -> (u64, BTreeMap<String, KeyQuotas>) {
        let loaded = self.loaded.read().expect("no holder panics");
        let mut quotas = BTreeMap::<String, KeyQuotas>::new();
        for key in loaded.by_id.values().filter(|key| key.revoked.is_none()) {
            let of_tenant = quotas.entry(key.tenant.clone()).or_default();
            *of_tenant = of_tenant.max(key.quotas);
        }
        (loaded.generation, quotas)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.loaded.read().expect("no holder panics").generation
    }

    /// Reads the file again if it changed. One that cannot be read leaves the keys as they were: a slip of the
    /// operator's must not lock everybody out. But that there is one means that keys are wanted.
    fn refresh(&self) {
        let mut looked = self.looked.lock().expect("no holder panics");
        if looked.0.elapsed() < FRESH {
            return;
        }
        looked.0 = Instant::now();
        let now = stamp(&self.path);
        if now == looked.1 {
            return;
        }
        match file::list(&self.path) {
            Ok(keys) => {
                looked.1 = now;
                let mut loaded = self.loaded.write().expect("no holder panics");
                *loaded = Loaded { by_id: by_id(keys), wanted: true, generation: loaded.generation + 1 };
                tracing::info!(keys = loaded.by_id.len(), "keys.read");
            }
            Err(error) => {
                self.loaded.write().expect("no holder panics").wanted = true;
                tracing::error!(%error, "keys.unreadable");
            }
        }
    }
}

fn by_id(keys: Vec<Key>) -> HashMap<String, Arc<Key>> {
    keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect()
}

fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(tenant: &str, queued: u32) -> Key {
        let quotas = KeyQuotas { queued: Some(queued), ..KeyQuotas::default() };
        Key {
            id: String::new(),
            sha256: String::new(),
            tenant: tenant.into(),
            admin: false,
            quotas,
            requests_per_second: None,
            created: String::new(),
            revoked: None,
        }
    }

    #[test]
    fn a_key_opens_until_it_is_revoked_and_its_secret_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let (key, token) = add(&path, new("a", 3)).unwrap();
        let (other, _) = add(&path, new("a", 7)).unwrap();
        let keys = Keys::open(&path).unwrap();
        assert_eq!(keys.check(&token).unwrap().tenant, "a");
        assert_eq!(keys.quotas().1["a"].queued, Some(7));

        let mut wrong = token.clone().into_bytes();
        *wrong.last_mut().unwrap() ^= 1;
        let swapped = token.replace(&key.id, &other.id);
        for bad in [
            std::str::from_utf8(&wrong).unwrap(),
            &swapped,
            "",
            "foldry_.",
            &token[1..],
            &token[..token.len() - 1],
        ] {
            assert!(keys.check(bad).is_none(), "{bad}");
        }
        let secret = token.split_once('.').unwrap().1;
        assert_eq!(secret.len(), 64);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(secret));

        revoke(&path, &key.id).unwrap();
        assert!(matches!(revoke(&path, "nobody"), Err(KeysError::Unknown(_))));
        // As if a second had passed.
        keys.looked.lock().unwrap().0 -= 2 * FRESH;
        assert!(keys.check(&token).is_none());
        assert_eq!(keys.generation(), 2);
    }

    #[test]
    fn an_unreadable_file_locks_nobody_out_and_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let (_, token) = add(&path, new("a", 3)).unwrap();
        let keys = Keys::open(&path).unwrap();
        std::fs::write(&path, "{").unwrap();
        keys.looked.lock().unwrap().0 -= 2 * FRESH;
        assert!(keys.check(&token).is_some());
        assert!(matches!(Keys::open(&path), Err(KeysError::Format { .. })));
        assert!(matches!(add(&path, new("a b", 3)), Err(KeysError::Tenant(_))));
    }

    #[test]
    fn a_file_that_comes_later_closes_the_door() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys = Keys::open_or_wait(&path).unwrap();
        let later = || keys.looked.lock().unwrap().0 -= 2 * FRESH;
        later();
        assert!(!keys.are_wanted());
        let (_, token) = add(&path, new("a", 3)).unwrap();
        later();
        assert!(keys.are_wanted() && keys.check(&token).is_some() && keys.check("foldry_x.y").is_none());
        std::fs::remove_file(&path).unwrap();
        later();
        assert!(keys.are_wanted() && keys.check(&token).is_some());

        let keys = Keys::open_or_wait(&path).unwrap();
        std::fs::write(&path, "{").unwrap();
        keys.looked.lock().unwrap().0 -= 2 * FRESH;
        assert!(keys.are_wanted());
        assert!(matches!(Keys::open_or_wait(&path), Err(KeysError::Format { .. })));
    }
}
