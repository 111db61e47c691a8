//! A server process, started, killed and started again on one folder.

use crate::client::Client;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
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
#[derive(Clone)]
pub struct Setup {
    folder: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A `foldry worker` for the servers of a database, killed when it is dropped.
pub struct Worker(Child);

impl Worker {
    /// With a data folder of its own.
    pub fn start(data: &Path, arguments: &[String]) -> Self {
        Self::start_with(data, arguments, &[])
    }

    /// With variables besides.
    pub fn start_with(data: &Path, arguments: &[String], environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
        command.args(["worker", "--nice", "0", "--data"]).arg(data).args(arguments);
        command.env("FOLDRY_WEIGHTS", data.join("none")).env("RAYON_NUM_THREADS", "1");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
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
        Self {
            folder: folder.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: Vec::new(),
        }
    }

    /// With a variable besides.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
        command
            // Not at the lowest priority: whatever else the machine does must not decide on a test.
            .args(["serve", "--nice", "0", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.folder.join("data"))
            .args(&self.arguments)
            .env("FOLDRY_WEIGHTS", self.folder.join("none"))
            .env("RAYON_NUM_THREADS", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        command
    }

    /// A server that dies before it is ready; the signal that ended it.
    pub fn dies(&self, patience: Duration) -> Option<i32> {
        let process = self.command().stderr(Stdio::null()).spawn().unwrap();
        Server { process, address: String::new(), lines: mpsc::channel().1, said: Vec::new() }
            .signalled(patience)
    }

    /// A server that is ready, on a port of its own.
    pub fn start(&self) -> Server {
        let mut process = self.command().spawn().unwrap();
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
        self.waited(patience).code().unwrap_or(-1)
    }

    /// Waits for its end; the signal that ended it.
    pub fn signalled(&mut self, patience: Duration) -> Option<i32> {
        self.waited(patience).signal()
    }

    fn waited(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
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
