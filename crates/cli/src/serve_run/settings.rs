//! From what was given to what holds, checked before anything starts.

use super::child::Offer;
use super::given::{Given, LogForm};
use crate::device::Choice;
use crate::failure::bad_input;
use crate::fold_run::choose;
use crate::precision::Precision;
use jobs::{Policy, Quotas};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// A file of this server alone.
    File(PathBuf),
    /// A PostgreSQL database that several machines share; its URL may hold a password.
    Postgres(String),
}

/// Where inputs and results are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    /// A folder.
    Folder(PathBuf),
    /// An object store.
    S3(String),
}

/// Where API keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFile {
    /// Named, so it must be there.
    Given(PathBuf),
    /// In the data folder, perhaps: until it is there, everybody is let in.
    Usual(PathBuf),
}

impl KeysFile {
    /// # Errors  bad input: the file cannot be read.
    pub fn open(&self) -> anyhow::Result<api::Keys> {
        match self {
            Self::Given(file) => api::Keys::open(file),
            Self::Usual(file) => api::Keys::open_or_wait(file),
        }
        .map_err(bad_input)
    }
}

/// A server's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub store: StorePlace,
    pub blobs: BlobPlace,
    pub keys: KeysFile,
    pub workers: u32,
    pub offer: Offer,
    pub drain: Duration,
    pub job: Duration,
    pub policy: Policy,
    pub limits: api::Limits,
    pub log: LogForm,
    /// Where traces go.
    pub otlp: Option<spans::Endpoint>,
}

/// The file of keys in the data folder.
const KEYS: &str = "keys.json";

/// Where keys are, of a server with these settings.
///
/// # Errors  bad input: no data folder is given and there is no default.
pub fn keys_file(keys: Option<PathBuf>, data: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match keys {
        Some(file) => Ok(file),
        None => Ok(data.map_or_else(default_data, Ok)?.join(KEYS)),
    }
}

const MIB: usize = 1 << 20;
const DAY: u64 = 24 * 3600;

impl Settings {
    /// Fills in what was not given.
    ///
    /// # Errors  bad input: what does not go together, or cannot be.
    pub fn new(given: Given) -> anyhow::Result<Self> {
        let data = given.data.map_or_else(default_data, Ok)?;
        let store = match given.store {
            None => StorePlace::File(data.join("jobs.db")),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                StorePlace::Postgres(url)
            }
            // It may hold a password, so it is not repeated.
            Some(_) => return Err(bad_input("--store: expected postgres://…, found something else")),
        };
        let blobs = match given.blobs {
            None => BlobPlace::Folder(data.join("blobs")),
            Some(url) if url.starts_with("s3://") => BlobPlace::S3(url),
            Some(folder) => BlobPlace::Folder(folder.into()),
        };
        let keys = given.keys.map_or_else(|| KeysFile::Usual(data.join(KEYS)), KeysFile::Given);
        let without = matches!(&keys, KeysFile::Usual(file) if !file.exists());
        let listen = given.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        if without && !listen.ip().is_loopback() && !given.open.unwrap_or(false) {
            return Err(bad_input(format!(
                "--listen {listen}: expected API keys (`foldry keys add`) or --open, as other machines can reach this address"
            )));
        }
        let offer = Offer {
            models: given.model.unwrap_or_else(|| vec!["auto".into()]),
            params: given.params,
            config: given.config,
            device: given.device.unwrap_or(Choice::Auto),
            dtype: given.dtype.unwrap_or(Precision::F32),
            nice: given.nice.unwrap_or(19),
        };
        for model in &offer.models {
            choose(model, offer.params.as_deref())?;
        }
        let usual = Policy::default();
        let quotas = Quotas {
            queued: given.queued.unwrap_or(usual.quotas.queued),
            running: given.running.unwrap_or(usual.quotas.running),
            weight_per_day: given.residues_per_day.unwrap_or(usual.quotas.weight_per_day),
        };
        let retention =
            given.keep_days.map_or(usual.retention, |days| Duration::from_secs(days.saturating_mul(DAY)));
        let policy = Policy {
            lease: given.lease.map_or(usual.lease, Duration::from_secs),
            retention,
            // A client can ask for so long after that what became of its job.
            memory: usual.memory.max(retention.saturating_mul(2)),
            quotas,
            ..usual
        };
        let bounds = api::Limits::default();
        let limits = api::Limits {
            residues: given.max_residues.unwrap_or(bounds.residues),
            rows: given.max_rows.unwrap_or(bounds.rows),
            body: given.max_body.map_or(bounds.body, |mib| mib.saturating_mul(MIB)),
            requests_per_second: given.requests_per_second.or(bounds.requests_per_second),
            disk_reserve: given
                .disk_reserve
                .map_or(bounds.disk_reserve, |mib| mib.saturating_mul(MIB as u64)),
            origins: given.origins.unwrap_or_default(),
            private_webhooks: given.private_webhooks.unwrap_or(false),
            esm_b_factor: given.esm_b_factor.unwrap_or(bounds.esm_b_factor),
            quotas,
            ..bounds
        };
        if !(limits.esm_b_factor.is_finite() && limits.esm_b_factor > 0.0) {
            let found = limits.esm_b_factor;
            return Err(bad_input(format!("--esm-b-factor: expected more than 0, found {found}")));
        }
        let wrong = |origin: &&String| !origin.starts_with("https://") && !origin.starts_with("http://");
        if let Some(origin) = limits.origins.iter().find(wrong) {
            return Err(bad_input(format!("--origins: expected https://NAME, found {origin}")));
        }
        let otlp = given.otlp.map(|url| url.parse::<spans::Endpoint>());
        let otlp = otlp.transpose().map_err(|error| bad_input(format!("--otlp: {error}")))?;
        Ok(Self {
            listen,
            data,
            store,
            blobs,
            keys,
            workers: given.workers.unwrap_or(1),
            offer,
            drain: Duration::from_secs(given.drain.unwrap_or(30)),
            job: Duration::from_secs(given.job_hours.unwrap_or(48).saturating_mul(3600)),
            policy,
            limits,
            log: given.log.unwrap_or(LogForm::Text),
            otlp,
        })
    }
}

/// `$XDG_STATE_HOME/foldry`, or where that is by default.
fn default_data() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state
        .map(|state| state.join("foldry"))
        .ok_or_else(|| bad_input("--data: expected a folder, as neither XDG_STATE_HOME nor HOME is set"))
}

impl Offer {
    /// As arguments of the child.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["fold-child".into()];
        for model in &self.models {
            all.extend(["--model".into(), model.into()]);
        }
        for (flag, file) in [("--params", &self.params), ("--config", &self.config)] {
            if let Some(file) = file {
                all.extend([flag.into(), file.into()]);
            }
        }
        let (device, dtype) = (self.device.to_string(), self.dtype.name());
        all.extend(["--device".into(), device.into(), "--dtype".into(), dtype.into()]);
        all.extend(["--nice".into(), self.nice.to_string().into()]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(listen: &str, folder: &std::path::Path) -> Given {
        Given { listen: Some(listen.parse().unwrap()), data: Some(folder.into()), ..Given::default() }
    }

    #[test]
    fn an_open_door_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Settings::new(given("0.0.0.0:80", folder.path())).unwrap_err().to_string();
        assert!(refused.contains("foldry keys add"), "{refused}");
        assert!(Settings::new(given("127.0.0.1:80", folder.path())).is_ok());
        let open = Given { open: Some(true), ..given("0.0.0.0:80", folder.path()) };
        assert!(Settings::new(open).is_ok());
        std::fs::write(folder.path().join(KEYS), "").unwrap();
        let keyed = Settings::new(given("0.0.0.0:80", folder.path())).unwrap();
        assert_eq!(keyed.keys, KeysFile::Usual(folder.path().join(KEYS)));
        assert!(keyed.keys.open().is_err(), "an empty file is none of keys");
        let named = KeysFile::Given(folder.path().join("other.json"));
        assert!(named.open().unwrap_err().to_string().contains("other.json"));
    }

    #[test]
    fn a_password_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let wrong =
            Given { store: Some("mysql://u:hush@h/d".into()), ..given("127.0.0.1:80", folder.path()) };
        let refused = Settings::new(wrong).unwrap_err().to_string();
        assert!(refused.contains("postgres://") && !refused.contains("hush"), "{refused}");
    }
}
