//! Settings of a server as they are given: by flags, by the environment, by a file. Each has one name in all three.

use crate::device::Choice;
use crate::failure::bad_input;
use crate::precision::Precision;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What may be given; a flag beats the environment, which beats the file.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Given {
    /// Address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "FOLDRY_LISTEN", value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Folder of the queue, of inputs and results [default: foldry in the user's state folder].
    #[arg(long, env = "FOLDRY_DATA", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// postgres://… for a queue shared by several machines [default: a file in --data].
    #[arg(long, env = "FOLDRY_STORE", value_name = "URL", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// s3://BUCKET/PREFIX, or a folder, shared by several machines [default: a folder in --data].
    #[arg(long, env = "FOLDRY_BLOBS", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<String>,
    /// File of API keys, see `foldry keys` [default: keys.json in --data, if it is there].
    #[arg(long, env = "FOLDRY_KEYS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// Let everybody in, though the address can be reached from other machines and there are no keys.
    #[arg(long, env = "FOLDRY_OPEN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Jobs folded at the same time here, each in a process of its own; 0 only accepts [default: 1].
    #[arg(long, env = "FOLDRY_WORKERS", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Models that jobs may name, the first for those that name none [default: auto].
    #[arg(long, env = "FOLDRY_MODEL", value_name = "NAME", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Vec<String>>,
    /// Parameter file (.npz, .pt, .safetensors) instead of an installed one.
    #[arg(long, env = "FOLDRY_PARAMS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<PathBuf>,
    /// AlphaFold's configuration as JSON, for networks of other sizes.
    #[arg(long, env = "FOLDRY_CONFIG", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N [default: auto].
    #[arg(long, env = "FOLDRY_DEVICE", value_name = "DEVICE")]
    #[serde(skip_serializing_if = "Option::is_none", with = "as_text")]
    pub device: Option<Choice>,
    /// Numbers of the matrix products: f32 or bf16 [default: f32].
    #[arg(long, value_enum, env = "FOLDRY_DTYPE", value_name = "DTYPE")]
    #[serde(skip_serializing_if = "Option::is_none", with = "as_text")]
    pub dtype: Option<Precision>,
    /// Priority of folding processes, from 0 to 19, the lowest: requests are answered first [default: 19].
    #[arg(long, env = "FOLDRY_NICE", value_name = "N", value_parser = clap::value_parser!(i32).range(0..=19))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Seconds that running jobs get to end in when the server is told to stop; then they go back to the queue [default: 30].
    #[arg(long, env = "FOLDRY_DRAIN", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<u64>,
    /// Hours after which a job that is still running fails [default: 48].
    #[arg(long, env = "FOLDRY_JOB_HOURS", value_name = "HOURS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_hours: Option<u64>,
    /// Days that results are kept [default: 7].
    #[arg(long, env = "FOLDRY_KEEP_DAYS", value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u64>,
    /// Seconds after which a silent worker counts as dead [default: 15].
    #[arg(long, env = "FOLDRY_LEASE", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(3..=3600))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<u64>,
    /// Residues of a sequence at most [default: 5000].
    #[arg(long, env = "FOLDRY_MAX_RESIDUES", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_residues: Option<usize>,
    /// Rows of an alignment at most [default: 50000].
    #[arg(long, env = "FOLDRY_MAX_ROWS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<usize>,
    /// MiB of a request at most, also after decompression [default: 64].
    #[arg(long, env = "FOLDRY_MAX_BODY", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<usize>,
    /// Jobs of one tenant that may wait [default: 1000].
    #[arg(long, env = "FOLDRY_QUEUED", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Jobs of one tenant that may run at the same time [default: 16].
    #[arg(long, env = "FOLDRY_RUNNING", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// Residues, times seeds, that one tenant may submit in 24 hours [default: no limit].
    #[arg(long, env = "FOLDRY_RESIDUES_PER_DAY", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residues_per_day: Option<u64>,
    /// Requests per second of one tenant [default: no limit].
    #[arg(long, env = "FOLDRY_REQUESTS_PER_SECOND", value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// MiB that must stay free on the disk of --data [default: 256].
    #[arg(long, env = "FOLDRY_DISK_RESERVE", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_reserve: Option<u64>,
    /// Pages of other servers that may use this one, as in https://lab.example.
    #[arg(long, env = "FOLDRY_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// Webhooks may go to addresses inside the network, and over plain HTTP.
    #[arg(long, env = "FOLDRY_PRIVATE_WEBHOOKS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_webhooks: Option<bool>,
    /// What the B factors of the ESMFold route are divided by: 1 keeps 0-100, 100 makes 0-1 [default: 1].
    #[arg(long, env = "FOLDRY_ESM_B_FACTOR", value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esm_b_factor: Option<f32>,
    /// OpenTelemetry collector that gets traces over HTTP, as in http://127.0.0.1:4318 [default: none].
    #[arg(long, env = "FOLDRY_OTLP", value_name = "URL", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<String>,
    /// Log lines as text or json [default: text].
    #[arg(long, value_enum, env = "FOLDRY_LOG", value_name = "FORM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogForm>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogForm {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Given {
    /// With what the file says where nothing else was given.
    ///
    /// # Errors  bad input: no such file, an unknown name or a wrong value, with its line.
    pub fn with_file(self, file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(self) };
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| bad_input(format!("{name}: {error}")))?;
        let base: Self = toml::from_str(&text).map_err(|error| bad_input(format!("{name}: {error}")))?;
        let (serde_json::Value::Object(mut all), serde_json::Value::Object(over)) =
            (serde_json::to_value(base)?, serde_json::to_value(self)?)
        else {
            unreachable!("settings are tables");
        };
        all.extend(over);
        Ok(serde_json::from_value(all.into())?)
    }
}

impl Given {
    /// As TOML, passwords left out.
    ///
    /// # Errors  none but a bug's.
    pub fn shown(&self) -> anyhow::Result<String> {
        let store = self.store.as_ref().map(|url| match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => format!("{}://***{}", &url[..scheme], &url[at..]),
            _ => url.clone(),
        });
        Ok(toml::to_string(&Self { store, ..self.clone() })?)
    }
}

/// What clap reads and shows as text, as text in files, too.
mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) trait AsText: Sized {
        fn to_text(&self) -> String;
        fn of_text(text: &str) -> Result<Self, String>;
    }

    impl AsText for crate::device::Choice {
        fn to_text(&self) -> String {
            self.to_string()
        }
        fn of_text(text: &str) -> Result<Self, String> {
            text.parse()
        }
    }

    impl AsText for crate::precision::Precision {
        fn to_text(&self) -> String {
            self.name().into()
        }
        fn of_text(text: &str) -> Result<Self, String> {
            clap::ValueEnum::from_str(text, false)
                .map_err(|_| format!("expected f32 or bf16, found `{text}`"))
        }
    }

    pub(super) fn serialize<T: AsText, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(&value.to_text()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T: AsText, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| T::of_text(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, given: Given) -> anyhow::Result<Given> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("serve.toml");
        std::fs::write(&file, text).unwrap();
        given.with_file(Some(&file))
    }

    #[test]
    fn what_is_given_beats_the_file() {
        let text = "listen = \"127.0.0.1:90\"\nworkers = 3\ndevice = \"cuda:1\"\nmodel = [\"mini\"]\n";
        let flags = Given { workers: Some(0), dtype: Some(Precision::Bf16), ..Given::default() };
        let all = with(text, flags).unwrap();
        assert_eq!(
            (all.workers, all.listen.unwrap().port(), all.device),
            (Some(0), 90, Some(Choice::Cuda(1)))
        );
        assert_eq!((all.dtype, all.model), (Some(Precision::Bf16), Some(vec!["mini".to_string()])));
    }

    #[test]
    fn what_is_shown_is_read_back_and_holds_no_password() {
        let store = Some("postgres://u:hush@h/d".to_string());
        let given = Given { store, lease: Some(9), dtype: Some(Precision::F32), ..Given::default() };
        let shown = given.shown().unwrap();
        assert!(!shown.contains("hush") && shown.contains("postgres://***@h/d"), "{shown}");
        assert_eq!(with(&shown, Given::default()).unwrap().lease, Some(9));
    }

    #[test]
    fn a_wrong_name_or_value_is_told_with_its_line() {
        for (text, wanted) in [
            ("workers = 1\nworkres = 2\n", "workres"),
            ("device = \"gpu\"\n", "expected auto, cpu, cuda or cuda:N"),
            ("listen = 5\n", "line 1"),
        ] {
            let error = with(text, Given::default()).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("serve.toml"), "{error}");
        }
    }
}
