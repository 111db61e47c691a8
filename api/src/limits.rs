//! Bounds on everything that comes from outside.

use std::time::Duration;

/// The defaults suit a server with 2 GB of memory to spare.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of a body, as sent and after decompression.
    pub body: usize,
    /// Decompressed over compressed size of a body.
    pub ratio: usize,
    /// Bytes of all bodies that are being received or parsed; beyond it the answer is 503.
    pub bodies_in_memory: usize,
    /// A body that sends nothing for so long is given up.
    pub body_idle: Duration,
    /// A body must be complete after so long.
    pub body_total: Duration,
    /// Inputs parsed at the same time.
    pub parsers: usize,
    /// Residues of a sequence.
    pub residues: usize,
    /// Rows of an alignment.
    pub rows: usize,
    /// Templates of a job.
    pub templates: usize,
    /// Atoms of a template.
    pub atoms: usize,
    /// Jobs of a batch, and of an input file.
    pub batch: usize,
    /// Recycles of a job.
    pub recycles: u32,
    /// Seeds of a job.
    pub num_seeds: u32,
    /// Jobs of a page of the list.
    pub page: u32,
    /// The longest `wait`.
    pub wait: Duration,
    /// Between comments in an event stream.
    pub heartbeat: Duration,
    /// How often a stream looks without a hint.
    pub poll: Duration,
    /// Bytes that must stay free on the data's disk.
    pub disk_reserve: u64,
    /// Connections at the same time; more wait.
    pub connections: usize,
    /// A request's header must be complete after so long; an idle connection is closed then.
    pub header: Duration,
    /// A connection whose client reads nothing for so long is closed.
    pub write_idle: Duration,
    /// Requests per second of one tenant without a rate of its own; `None` does not count.
    pub requests_per_second: Option<f64>,
    /// Quotas of tenants whose keys name none; as in the store's policy.
    pub quotas: jobs::Quotas,
    /// Pages of other servers that may use this one, such as `https://lab.example`; none by default.
    pub origins: Vec<String>,
    /// Webhooks may go to addresses inside the network, and over plain HTTP.
    pub private_webhooks: bool,
    /// How long the drop-in routes wait for their job.
    pub drop_in_wait: Duration,
    /// Residues that the drop-in ESMFold route takes.
    pub esm_residues: usize,
    /// What the B factors of the drop-in ESMFold route are divided by: 1 keeps 0–100, 100 makes 0–1.
    pub esm_b_factor: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 64 << 20,
            ratio: 100,
            bodies_in_memory: 512 << 20,
            body_idle: Duration::from_secs(15),
            body_total: Duration::from_secs(300),
            parsers: 2,
            residues: 5_000,
            rows: 50_000,
            templates: 20,
            atoms: 2_000_000,
            batch: 1_000,
            recycles: 100,
            num_seeds: 100,
            page: 200,
            wait: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            poll: Duration::from_secs(2),
            disk_reserve: 256 << 20,
            connections: 4_096,
            header: Duration::from_secs(30),
            write_idle: Duration::from_secs(60),
            requests_per_second: None,
            quotas: jobs::Policy::default().quotas,
            origins: Vec::new(),
            private_webhooks: false,
            drop_in_wait: Duration::from_secs(3600),
            esm_residues: 400,
            esm_b_factor: 1.0,
        }
    }
}

impl Limits {
    /// Of alignments.
    pub(crate) fn msa(&self) -> msa::Limits {
        msa::Limits {
            bytes: self.body as u64,
            ratio: self.ratio as u64,
            records: self.batch,
            rows: self.rows,
            columns: self.residues,
            // A body's bytes already bound it: a row takes at least its columns.
            cells: self.body,
        }
    }

    /// Of templates.
    pub(crate) fn structure(&self) -> structure::Limits {
        structure::Limits { bytes: self.body, atoms: self.atoms, ..structure::Limits::default() }
    }
}
