//! A folding child, as its supervisor has it.

use crate::Engine;
use crate::pipe::{Command, Lines, Said};
use crate::words::Words;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::process::{Child as Process, ChildStdin, ChildStdout};

/// How a child is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to its environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What a child says of itself; it is ended again.
/// # Errors  in words: it cannot be started, or is not ready in time.
pub async fn describe(launch: &Launch, patience: Duration) -> Result<Engine, String> {
    let (mut child, engine) = Child::start(launch, patience).await?;
    child.end().await;
    Ok(engine)
}

/// A child that reads takes a command at once.
const SAY: Duration = Duration::from_secs(10);

/// A running child and both ends of its pipe. It leads a process group of its own, so that a Ctrl-C meant for the
/// server does not reach it and whatever it starts ends with it.
pub(crate) struct Child {
    process: Process,
    group: Option<Pid>,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    words: Words,
}

impl Child {
    /// Starts one and waits until it is ready.
    /// # Errors  in words: it cannot be started, says something else, ends, or takes too long.
    pub(crate) async fn start(launch: &Launch, patience: Duration) -> Result<(Self, Engine), String> {
        let program = launch.program.display().to_string();
        let mut process = tokio::process::Command::new(&launch.program)
            .args(&launch.arguments)
            // To make one takes memory, too: a child that was refused some would stand still in it.
            .env("RUST_BACKTRACE", "0")
            .envs(launch.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program}: cannot be started: {error}"))?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let to = process.stdin.take().expect("its input is a pipe");
        let from = process.stdout.take().expect("its output is a pipe");
        let words = Words::pass_on(process.stderr.take().expect("its errors are a pipe"));
        let mut child = Self { process, group, to, from: Lines::new(BufReader::new(from)), words };
        let first = tokio::time::timeout(patience, child.heard()).await;
        let why = match first {
            Ok(Ok(Some(Said::Ready(engine)))) => return Ok((child, engine)),
            Ok(Ok(Some(said))) => format!("expected it to be ready, found {said:?}"),
            Ok(Ok(None)) => format!("it ended before it was ready: {}", child.end().await),
            Ok(Err(error)) => error,
            Err(_) => format!("expected it to be ready within {patience:?}"),
        };
        Err(format!("{program}: {why}"))
    }

    /// Sends a command. A child that cannot be told has died, which is seen when it is next heard, or is stuck, and
    /// will be ended for its silence.
    pub(crate) async fn say(&mut self, command: &Command) {
        let mut line = serde_json::to_vec(command).expect("commands are plain data");
        line.push(b'\n');
        let _ = tokio::time::timeout(SAY, self.to.write_all(&line)).await;
    }

    /// What it says next; `None` once it ended.
    /// # Errors  in words: what it wrote is no message.
    pub(crate) async fn heard(&mut self) -> Result<Option<Said>, String> {
        self.from.next().await
    }

    /// Ends it and all that it started.
    pub(crate) async fn end(&mut self) -> End {
        // Gone already, it is still our child until waited for, so the number is no other's.
        if let Ok(Some(status)) = self.process.try_wait() {
            return End::by_itself(status, &mut self.words).await;
        }
        // It may be dying just now: of two reasons the first is told.
        if let Ok(Ok(status)) = tokio::time::timeout(Duration::from_millis(100), self.process.wait()).await {
            return End::by_itself(status, &mut self.words).await;
        }
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.kill().await;
        End::Killed
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let (Some(group), Ok(None)) = (self.group, self.process.try_wait()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// We killed it.
    Killed,
    /// The system killed it: almost always for want of memory.
    KilledBySystem,
    /// It was refused memory and gave up: under a limit of its own, or where the system promises no more than it has.
    Starved,
    /// Another signal.
    Signal(i32),
    /// It exited.
    Exit(i32),
}

impl End {
    async fn by_itself(status: ExitStatus, words: &mut Words) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (_, Some(9)) => Self::KilledBySystem,
            (_, Some(6)) if words.of_memory().await => Self::Starved,
            (_, Some(signal)) => Self::Signal(signal),
            (code, None) => Self::Exit(code.unwrap_or(-1)),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Killed => f.write_str("it was stopped"),
            Self::KilledBySystem => {
                f.write_str("the system killed it (signal 9), most likely for want of memory")
            }
            Self::Starved => f.write_str("it was refused memory and gave up (signal 6)"),
            Self::Signal(signal) => write!(f, "it died of signal {signal}"),
            Self::Exit(code) => write!(f, "it ended with code {code}"),
        }
    }
}
