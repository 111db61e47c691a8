//! How ranks end together. Each is connected with rank 0; who is done says so, who fails says so, and who is silent is lost. Rank 0
//! tells the others.

use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Why this process must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A rank is gone without a word.
    Lost { rank: usize, why: String },
    /// A rank has failed and says why itself; all end with its code.
    Failed { rank: usize, code: u8 },
}

impl End {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Lost { .. } => 1,
            Self::Failed { code, .. } => *code,
        }
    }
}

/// How often a rank gives a sign, and how long without one it is taken for lost: a machine without power closes no connection.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub sign: Duration,
    pub silence: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { sign: Duration::from_secs(10), silence: Duration::from_secs(120) }
    }
}

/// A message: its kind, a code, a rank.
const BYTES: usize = 6;
const ALIVE: u8 = 1;
const DONE: u8 = 2;
const FAILED: u8 = 3;
const LOST: u8 = 4;

/// What is known of the others.
#[derive(Default)]
struct State {
    done: BTreeSet<usize>,
    /// This rank has said that it is done; rank 0 does so last.
    said: bool,
    /// Nothing more is to be said or heard.
    over: bool,
    /// `end` was called, and has returned.
    ended: bool,
}

struct Shared {
    rank: usize,
    /// Each with the rank at its other end; locked while something is said.
    peers: Vec<(usize, Mutex<TcpStream>)>,
    state: Mutex<State>,
    changed: Condvar,
    /// Called once, on a thread of its own.
    end: Box<dyn Fn(End) + Send + Sync>,
}

/// The connections of one rank, and threads that listen to them.
pub(super) struct Watch(Arc<Shared>);

impl Watch {
    /// `peers` are rank 0's connections with rank 1, 2, … or another rank's with rank 0. When this process must end, `end` is called.
    ///
    /// # Errors  If a thread cannot be made.
    pub(super) fn begin(
        rank: usize,
        peers: Vec<TcpStream>,
        pace: Pace,
        end: Box<dyn Fn(End) + Send + Sync>,
    ) -> Result<Self> {
        let there = |e: std::io::Error| Error::Collective(format!("a connection with another rank: {e}"));
        let first = usize::from(rank == 0);
        let mut ears = Vec::new();
        for stream in &peers {
            stream.set_nodelay(true).map_err(there)?;
            stream.set_read_timeout(Some(pace.silence)).map_err(there)?;
            stream.set_write_timeout(Some(pace.sign)).map_err(there)?;
            ears.push(stream.try_clone().map_err(there)?);
        }
        let peers = peers.into_iter().enumerate().map(|(nth, s)| (nth + first, Mutex::new(s))).collect();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { rank, peers, state, changed, end });
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        for (nth, ear) in ears.into_iter().enumerate() {
            let shared = shared.clone();
            let other = shared.peers[nth].0;
            let listen = move || shared.listen(other, ear);
            thread("ranks").spawn(listen).map_err(Error::io(Path::new("thread")))?;
        }
        let signs = shared.clone();
        thread("signs").spawn(move || signs.give_signs(pace.sign)).map_err(Error::io(Path::new("thread")))?;
        Ok(Self(shared))
    }

    /// This rank has failed: all are to end with this code.
    pub(super) fn fail(&self, code: u8) {
        self.0.known().over = true;
        self.0.say_to_all(FAILED, code, self.0.rank);
    }

    /// This rank is done; returns when all are, or after `end`, if that returns: a process that is to end with another's code must not
    /// end well before it.
    pub(super) fn finish(&self) {
        let shared = &self.0;
        let all: BTreeSet<usize> = shared.peers.iter().map(|p| p.0).collect();
        if shared.rank != 0 {
            shared.known().said = true;
            shared.say_to_all(DONE, 0, shared.rank);
        }
        let waits = |state: &mut State| !state.ended && !all.is_subset(&state.done);
        let mut state = shared.changed.wait_while(shared.known(), waits).unwrap_or_else(|p| p.into_inner());
        if shared.rank == 0 && !state.over {
            shared.say_to_all(DONE, 0, 0);
        }
        state.over = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.known().over = true;
        self.0.changed.notify_all();
        for (_, stream) in &self.0.peers {
            let stream = stream.lock().unwrap_or_else(|p| p.into_inner());
            // What was said is still sent. The threads that listen end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Listens to rank `other` until it is done or this process must end.
    fn listen(&self, other: usize, mut ear: TcpStream) {
        let end = loop {
            let mut message = [0; BYTES];
            if let Err(e) = ear.read_exact(&mut message) {
                let why = match e.kind() {
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                        "its process has ended".into()
                    }
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                        "it gives no sign".into()
                    }
                    _ => e.to_string(),
                };
                break End::Lost { rank: other, why };
            }
            let rank = u32::from_le_bytes([message[2], message[3], message[4], message[5]]) as usize;
            match message[0] {
                ALIVE => {}
                DONE => {
                    self.known().done.insert(other);
                    self.changed.notify_all();
                    return;
                }
                FAILED => break End::Failed { rank, code: message[1] },
                LOST => break End::Lost { rank, why: "rank 0 has lost it".into() },
                kind => break End::Lost { rank: other, why: format!("it says {kind}, which means nothing") },
            }
        };
        {
            let mut state = self.known();
            // Told by another thread, or this rank leaves by itself.
            if std::mem::replace(&mut state.over, true) {
                return;
            }
        }
        let kind = if matches!(end, End::Lost { .. }) { LOST } else { FAILED };
        let (End::Lost { rank, .. } | End::Failed { rank, .. }) = end;
        if self.rank == 0 {
            self.say_to_all(kind, end.code(), rank);
        }
        (self.end)(end);
        self.known().ended = true;
        self.changed.notify_all();
    }

    fn give_signs(&self, every: Duration) {
        loop {
            let (state, _) = self
                .changed
                .wait_timeout_while(self.known(), every, |state| !state.over)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            if state.over || state.said {
                return;
            }
            drop(state);
            self.say_to_all(ALIVE, 0, self.rank);
        }
    }

    /// To all peers, also one that is taken for lost: it may be alive. One that cannot hear is found to be lost by the thread that listens to it.
    fn say_to_all(&self, kind: u8, code: u8, rank: usize) {
        let number = (rank as u32).to_le_bytes();
        let message: [u8; BYTES] = [kind, code, number[0], number[1], number[2], number[3]];
        for (_, stream) in &self.peers {
            let mut stream = stream.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let _ = stream.write_all(&message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    const LONG: Duration = Duration::from_secs(30);
    const QUICK: Pace = Pace { sign: Duration::from_millis(50), silence: Duration::from_millis(600) };

    /// Connected ranks, and how each was told to end.
    fn ranks(world: usize, pace: impl Fn(usize) -> Pace) -> Vec<(Watch, Receiver<End>)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        for _ in 1..world {
            others.push(vec![TcpStream::connect(at).unwrap()]);
            theirs.push(listener.accept().unwrap().0);
        }
        let all = [theirs].into_iter().chain(others).enumerate();
        all.map(|(rank, peers)| {
            let (to, ends) = channel();
            (Watch::begin(rank, peers, pace(rank), Box::new(move |end| to.send(end).unwrap())).unwrap(), ends)
        })
        .collect()
    }

    #[test]
    fn who_is_done_waits_for_all_and_nobody_ends_early() {
        let all = ranks(3, |_| QUICK);
        // Longer than a rank may be silent: signs are given.
        std::thread::sleep(2 * QUICK.silence);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (rank, (watch, _)) in all.iter().enumerate() {
                let done = &done;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(150 * rank as u64));
                    done.lock().unwrap().push(rank);
                    watch.finish();
                    // The last has come.
                    assert_eq!(done.lock().unwrap().len(), 3);
                });
            }
        });
        let ends: Vec<_> = all.into_iter().map(|(watch, ends)| (drop(watch), ends)).collect();
        for (_, ends) in ends {
            assert!(ends.recv_timeout(2 * QUICK.silence).is_err());
        }
    }

    #[test]
    fn a_failure_ends_all_with_its_code() {
        for failing in 0..3 {
            let (watches, ends): (Vec<_>, Vec<_>) = ranks(3, |_| Pace::default()).into_iter().unzip();
            // One that is done already, too.
            let waits = &watches[(failing + 1) % 3];
            std::thread::scope(|scope| {
                scope.spawn(|| waits.finish());
                watches[failing].fail(7);
                for (_, ends) in ends.iter().enumerate().filter(|(rank, _)| *rank != failing) {
                    assert_eq!(ends.recv_timeout(LONG).unwrap(), End::Failed { rank: failing, code: 7 });
                }
            });
            assert!(ends[failing].try_recv().is_err());
        }
    }

    #[test]
    fn a_lost_rank_is_told_to_all() {
        for lost in 0..3 {
            let mut all = ranks(3, |_| Pace::default());
            // As the system does for a process that dies.
            drop(all.remove(lost));
            let ends: Vec<End> = all.iter().map(|(_, ends)| ends.recv_timeout(LONG).unwrap()).collect();
            for (end, (watch, _)) in ends.iter().zip(&all) {
                let at_hand = lost == 0 || watch.0.rank == 0;
                let why = if at_hand { "its process has ended" } else { "rank 0 has lost it" };
                assert_eq!(*end, End::Lost { rank: lost, why: why.into() });
            }
        }
    }

    #[test]
    fn silence_and_nonsense_are_a_loss() {
        // Rank 1 gives signs too seldom.
        let slow = Pace { sign: LONG, silence: LONG };
        let all = ranks(2, |rank| if rank == 0 { QUICK } else { slow });
        let why = "it gives no sign".to_owned();
        assert_eq!(all[0].1.recv_timeout(LONG).unwrap(), End::Lost { rank: 1, why });
        assert_eq!(
            all[1].1.recv_timeout(LONG).unwrap(),
            End::Lost { rank: 1, why: "rank 0 has lost it".into() }
        );

        let all = ranks(2, |_| Pace::default());
        all[1].0.0.say_to_all(99, 0, 0);
        let why = "it says 99, which means nothing".to_owned();
        assert_eq!(all[0].1.recv_timeout(LONG).unwrap(), End::Lost { rank: 1, why });
    }
}
