//! A server process, started, killed and started again on one folder.

use crate::client::Client;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub struct Server {
    process: Child,
    pub address: String,
    /// What it says after it is ready.
    lines: Receiver<String>,
    said: Vec<String>,
}

/// How servers on one folder are started.
pub struct Setup {
    folder: PathBuf,
    arguments: Vec<String>,
}

/// A `foldry worker` for the servers of a database, killed when it is dropped.
pub struct Worker(Child);

impl Worker {
    /// With a data folder of its own.
    pub fn start(data: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
        command.args(["worker", "--nice", "0", "--data"]).arg(data).args(arguments);
        command.env("FOLDRY_WEIGHTS", data.join("none")).env("RAYON_NUM_THREADS", "1");
        Self(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Setup {
    pub fn new(folder: &Path, arguments: &[&str]) -> Self {
        Self { folder: folder.into(), arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    /// A server that is ready, on a port of its own.
    pub fn start(&self) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_foldry"))
            // Not at the lowest priority: whatever else the machine does must not decide on a test.
            .args(["serve", "--nice", "0", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.folder.join("data"))
            .args(&self.arguments)
            .env("FOLDRY_WEIGHTS", self.folder.join("none"))
            .env("RAYON_NUM_THREADS", "1")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = mpsc::channel();
        let from = BufReader::new(process.stderr.take().unwrap());
        let mut server = Server { process, address: String::new(), lines, said: Vec::new() };
        std::thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = server.lines.recv_timeout(left) else { panic!("not ready: {:#?}", server.said) };
            server.said.push(line.clone());
            if line.contains("serve.ready") {
                let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
                server.address = address.unwrap_or_else(|| panic!("no address in {line}")).to_owned();
                return server;
            }
        }
    }
}

impl Server {
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it hard. Its children see their pipe end.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end; its exit code.
    pub fn ended(&mut self, patience: Duration) -> i32 {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "still running: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All it said so far.
    pub fn log(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    /// Numbers of its child processes.
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{}/task", self.id());
        let mut all = Vec::new();
        for task in std::fs::read_dir(path).unwrap().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(text.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        }
        all
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
