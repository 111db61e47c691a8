//! A server to be asked, and a worker that finishes its jobs with small files.

use api::{App, Limits, Metered, Metrics};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jobs::{Beat, Blobs, Claim, JobStore, Options, Outcome, Reason, SqliteStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use work::{Engine, Item, Model, Order, Product, Ranked};

/// Sequence of most tests.
pub const SEQUENCE: &str = "MKVLAAGIVGLLLAQPSWA";

pub struct Server {
    pub router: Router,
    pub store: Arc<dyn JobStore>,
    pub blobs: Blobs,
    pub engine: watch::Sender<Option<Engine>>,
    pub limits: Limits,
    pub folder: TempDir,
    worker: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

pub fn engine() -> Engine {
    let model = |name: &str, digit: &str| Model {
        name: name.into(),
        weights_sha256: digit.repeat(64),
        about: "for tests".into(),
    };
    Engine {
        version: "foldry 0.0.0".into(),
        device_class: "cpu".into(),
        device: "a test".into(),
        models: vec![model("mini", "a"), model("maxi", "b")],
    }
}

impl Server {
    /// With the default limits and a worker.
    pub async fn start() -> Self {
        let mut server = Self::with(|_, _| {}, Options::default()).await;
        server.work();
        server
    }

    /// Without a worker; `change` changes the parts before the server starts.
    pub async fn with(change: impl FnOnce(&mut App, &Path), options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("jobs.db"), options).await.unwrap();
        let metrics = Arc::new(Metrics::default());
        let store: Arc<dyn JobStore> = Arc::new(Metered::new(Arc::new(store), metrics.clone()));
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        let (engine, known) = watch::channel(Some(engine()));
        let limits = Limits { poll: Duration::from_millis(100), ..Limits::default() };
        let (data, spans) = (folder.path().to_owned(), spans::Spans::default());
        let mut app = App { store, blobs, engine: known, keys: None, limits, metrics, spans, data };
        change(&mut app, folder.path());
        let (store, blobs, limits) = (app.store.clone(), app.blobs.clone(), app.limits.clone());
        Self { router: api::router(app), store, blobs, engine, limits, folder, worker: None }
    }

    /// Starts a worker.
    pub fn work(&mut self) {
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        self.worker = Some(tokio::spawn(async move {
            loop {
                match store.claim("w").await.unwrap() {
                    Some(claim) => {
                        tokio::spawn(fold(store.clone(), blobs.clone(), claim));
                    }
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }));
    }

    /// Serves on a free port until the sender is dropped or sends true.
    pub async fn listen(&self) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (router, limits) = (self.router.clone(), self.limits.clone());
        let serving = tokio::spawn(async move {
            api::serve_router(listener, router, &limits, stopped).await.unwrap();
        });
        (address, stop, serving)
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request =
            headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Submits a job and returns its id.
    pub async fn submit(&self, name: &str) -> String {
        let answer = self.post("/v1/jobs", json!({"name": name, "sequence": SEQUENCE})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the job is in this state.
    pub async fn reach(&self, id: &str, state: &str) -> Value {
        for _ in 0..400 {
            let job = self.get(&format!("/v1/jobs/{id}")).await.json();
            if job["state"] == state {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{id} did not become {state}: {}", self.get(&format!("/v1/jobs/{id}")).await.text());
    }

    /// A job that succeeded.
    pub async fn done(&self, name: &str) -> String {
        let id = self.submit(name).await;
        self.reach(&id, "succeeded").await;
        id
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and pointer of a problem, whose form is checked.
    pub fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert_eq!(problem["type"], "about:blank");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        let text = |key: &str| problem[key].as_str().unwrap_or("").to_owned();
        (self.status.as_u16(), text("code"), text("pointer"))
    }
}

/// Says what a child would say, and makes small files. The name decides: `hold…` waits to be cancelled, `fail…` fails.
async fn fold(store: Arc<dyn JobStore>, blobs: Blobs, claim: Claim) {
    let (lease, order) = (claim.lease, serde_json::from_value::<Order>(claim.job.request).unwrap());
    let say = |kind: &'static str, data: Value| store.append_event(lease, kind, data);
    say("stage", json!({"stage": "network"})).await.unwrap();
    if order.name.starts_with("hold") {
        while !matches!(store.heartbeat(lease).await.unwrap(), Beat::Stop(_)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        store.finish(lease, Outcome::Cancelled).await.unwrap();
        return;
    }
    if order.name.starts_with("fail") {
        let reason = Reason::new("bad_input", "made to fail");
        store.finish(lease, Outcome::Failed(reason)).await.unwrap();
        return;
    }
    for pass in 1..=3 {
        let data = json!({"seed": 0, "pass": pass, "passes": 3, "mean_plddt": 70.5, "ptm": null, "change": 0.5, "seconds": 0.1});
        say("pass", data).await.unwrap();
    }
    let scores = json!({"plddt": vec![71.25; order.sequence.len()], "mean_plddt": 71.25, "max_pae": 31.75, "ptm": 0.5});
    let pae = json!([{"predicted_aligned_error": vec![vec![1.5; order.sequence.len()]; order.sequence.len()],
        "max_predicted_aligned_error": 31.75}]);
    let files = [
        ("rank_001.pdb", pdb(&order.sequence).into_bytes()),
        ("rank_001.cif", format!("data_{}\n#\n", order.name).into_bytes()),
        ("rank_001.scores.json", scores.to_string().into_bytes()),
        ("rank_001.pae.json", pae.to_string().into_bytes()),
        ("report.html", b"<!doctype html><title>report</title>".to_vec()),
        ("large.bin", large()),
    ];
    let mut items = Vec::new();
    for (name, bytes) in files {
        let length = bytes.len() as u64;
        let sha256 = blobs.put(bytes).await.unwrap().to_string();
        items.push(Item { name: name.into(), sha256, bytes: length });
    }
    let product = Product {
        version: "foldry 0.0.0".into(),
        device: "a test".into(),
        model: order.options.model,
        weights_sha256: order.weights_sha256,
        residues: order.sequence.len() as u32,
        seconds: 0.25,
        ranking: vec![Ranked {
            rank: 1,
            seed: order.options.seed,
            mean_plddt: 71.25,
            ptm: Some(0.5),
            passes: 3,
        }],
        files: items,
    };
    let result = serde_json::to_value(&product).unwrap();
    store.finish(lease, Outcome::Succeeded { result, blobs: product.blobs() }).await.unwrap();
}

/// One alpha carbon a residue.
fn pdb(sequence: &str) -> String {
    let line = |at: usize| {
        format!(
            "ATOM  {:>5}  CA  ALA A{:>4}    {:>8.3}{:>8.3}{:>8.3}  1.00 71.25           C  \n",
            at, at, at as f32, 0.0, 0.0
        )
    };
    (1..=sequence.len()).map(line).collect::<String>() + "END\n"
}

/// More than is held in memory, and not alike everywhere.
pub fn large() -> Vec<u8> {
    (0..5u32 << 18).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}
