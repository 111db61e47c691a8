//! How ranks find each other: rank 0 listens, the others come, and once all are there each gets NCCL's id.

use super::greeting::{Greeting, Stranger, answer, answered, other_version};
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long one that has come may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Address and port.
pub(super) type At = (String, u16);

fn failed(at: &impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::Collective(format!("{at}: {what}"))
}

/// Rank 0's end.
///
/// # Errors  If the address is not this machine's or the port is taken.
pub(super) fn listen(at: &At) -> Result<TcpListener> {
    let (address, port) = at;
    TcpListener::bind((address.as_str(), *port)).map_err(|e| {
        let name = format!("MASTER_ADDR={address} MASTER_PORT={port}");
        failed(&name, format!("rank 0 cannot listen there: {e}"))
    })
}

/// Waits for all other ranks and gives them `id`. The connections, by rank from 1 on.
///
/// # Errors  If a rank does not come in time, comes twice, cannot be, or takes the number of ranks for another: those that
/// came are told.
pub(super) fn lead(
    listener: &TcpListener,
    world: usize,
    id: &[u8; 128],
    patience: Duration,
) -> Result<Vec<TcpStream>> {
    let mut came: Vec<Option<TcpStream>> = (1..world).map(|_| None).collect();
    let outcome = gather(listener, &mut came, patience);
    let name = listener.local_addr().map_or("rank 0".into(), |a| a.to_string());
    let told = outcome.as_ref().map(|()| id).map_err(|text| text.as_str());
    for (nth, stream) in came.iter_mut().enumerate() {
        let Some(stream) = stream else { continue };
        if let (Err(e), Ok(_)) = (answer(stream, told), &outcome) {
            return Err(failed(&name, format!("rank {} is lost: {e}", nth + 1)));
        }
    }
    outcome.map_err(|text| failed(&name, text))?;
    Ok(came.into_iter().flatten().collect())
}

/// Puts the connections of all ranks but 0 into `came`, or says why not.
fn gather(
    listener: &TcpListener,
    came: &mut [Option<TcpStream>],
    patience: Duration,
) -> std::result::Result<(), String> {
    let (began, world) = (Instant::now(), came.len() + 1);
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    while came.iter().any(Option::is_none) {
        let (mut stream, from) = match listener.accept() {
            Ok(found) => found,
            Err(_) if began.elapsed() < patience => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(e) => {
                let missing: Vec<String> =
                    (1..world).filter(|r| came[r - 1].is_none()).map(|r| r.to_string()).collect();
                let why = if e.kind() == ErrorKind::WouldBlock { String::new() } else { format!(": {e}") };
                let after = patience.as_secs_f32();
                return Err(format!(
                    "of {world} ranks, not there after {after} s: {}{why}",
                    missing.join(", ")
                ));
            }
        };
        // Of other systems than Linux it inherits the listener's way.
        let _ = stream.set_nonblocking(false);
        let _ = (stream.set_read_timeout(Some(GREETING)), stream.set_write_timeout(Some(GREETING)));
        let refused = match Greeting::read(&mut stream) {
            Ok(Greeting { rank, world: theirs }) => {
                let place = (rank as usize).checked_sub(1).and_then(|nth| came.get_mut(nth));
                match place {
                    _ if theirs as usize != world => {
                        format!("rank {rank} at {from} has WORLD_SIZE={theirs}, rank 0 has {world}")
                    }
                    None => format!("a rank from 1 to {} was expected, {rank} came from {from}", world - 1),
                    Some(Some(_)) => format!("rank {rank} came twice, the second time from {from}"),
                    Some(place) => {
                        *place = Some(stream);
                        continue;
                    }
                }
            }
            Err(Stranger::Other(version)) => format!("{from}: {}", other_version(version)),
            // Whoever it is, the ranks may come yet.
            Err(Stranger::Unknown(why)) => {
                eprintln!("WARN train.stranger from={from} {why}");
                continue;
            }
        };
        let _ = answer(&mut stream, Err(&refused));
        return Err(refused);
    }
    Ok(())
}

/// Comes to rank 0, which may not be there yet. The connection, and NCCL's id.
///
/// # Errors  If rank 0 is not there in time, or refuses.
pub(super) fn follow(
    at: &At,
    rank: usize,
    world: usize,
    patience: Duration,
) -> Result<(TcpStream, [u8; 128])> {
    let (address, port) = at;
    let name = format!("MASTER_ADDR={address} MASTER_PORT={port}");
    let began = Instant::now();
    let mut stream = loop {
        match connect(at) {
            Ok(stream) => break stream,
            Err(_) if began.elapsed() < patience => std::thread::sleep(5 * PAUSE),
            Err(e) => {
                let text = format!("no rank 0 after {} s: {e}", patience.as_secs_f32());
                return Err(failed(&name, format!("rank {rank}: {text}")));
            }
        }
    };
    // Rank 0 has waited longer than this one when it gives up, and says for whom.
    let _ = stream.set_read_timeout(Some(patience + GREETING * 2));
    let greeting = Greeting { rank: rank as u32, world: world as u32 };
    let greeted = greeting.write(&mut stream).map_err(|e| e.to_string());
    let id = greeted.and_then(|()| answered(&mut stream));
    let id = id.map_err(|e| failed(&name, format!("rank {rank} was not let in: {e}")))?;
    Ok((stream, id))
}

fn connect((address, port): &At) -> std::io::Result<TcpStream> {
    let places: Vec<SocketAddr> = (address.as_str(), *port).to_socket_addrs()?.collect();
    let mut last = std::io::Error::other("no address");
    for place in places {
        match TcpStream::connect_timeout(&place, GREETING) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::thread::spawn;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(300);
    const ID: [u8; 128] = [9; 128];

    fn place() -> (TcpListener, At) {
        let listener = listen(&("127.0.0.1".into(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, ("127.0.0.1".into(), port))
    }

    fn comes(
        at: &At,
        rank: usize,
        world: usize,
    ) -> std::thread::JoinHandle<std::result::Result<[u8; 128], String>> {
        let at = at.clone();
        spawn(move || follow(&at, rank, world, LONG).map(|(_, id)| id).map_err(|e| e.to_string()))
    }

    #[test]
    fn all_come_in_any_order_and_get_the_id() {
        let (listener, at) = place();
        let ranks = [3, 1, 2].map(|rank| {
            let at = at.clone();
            spawn(move || {
                let (mut stream, id) = follow(&at, rank, 4, LONG).unwrap();
                let mut number = [0];
                stream.read_exact(&mut number).unwrap();
                (id, usize::from(number[0]) == rank)
            })
        });
        let mut streams = lead(&listener, 4, &ID, LONG).unwrap();
        assert_eq!(streams.len(), 3);
        for (nth, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&[nth as u8 + 1]).unwrap();
        }
        for rank in ranks {
            assert_eq!(rank.join().unwrap(), (ID, true));
        }
        assert!(lead(&listener, 1, &ID, SHORT).unwrap().is_empty());
    }

    #[test]
    fn a_missing_rank_is_named_to_all() {
        let (listener, at) = place();
        let there = comes(&at, 2, 4);
        let error = lead(&listener, 4, &ID, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(error.ends_with(": of 4 ranks, not there after 1 s: 1, 3"), "{error}");
        assert!(there.join().unwrap().unwrap_err().ends_with("of 4 ranks, not there after 1 s: 1, 3"));
        // Rank 0 is not there.
        drop(listener);
        let error = follow(&at, 1, 2, SHORT).unwrap_err().to_string();
        assert!(error.contains("MASTER_PORT=") && error.contains("rank 1: no rank 0 after 0.3 s"), "{error}");
    }

    #[test]
    fn ranks_that_cannot_be_are_refused() {
        for (rank, world, told) in [
            (1, 5, "has WORLD_SIZE=5, rank 0 has 3"),
            (3, 3, "a rank from 1 to 2 was expected, 3 came from 127.0.0.1:"),
            (0, 3, "a rank from 1 to 2 was expected, 0 came from 127.0.0.1:"),
        ] {
            let (listener, at) = place();
            let there = comes(&at, rank, world);
            let error = lead(&listener, 3, &ID, LONG).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            let theirs = there.join().unwrap().unwrap_err();
            assert!(theirs.contains(told) && theirs.contains("was not let in"), "{theirs}");
        }
        let (listener, at) = place();
        let twice = [comes(&at, 2, 3), comes(&at, 2, 3)];
        let error = lead(&listener, 3, &ID, LONG).unwrap_err().to_string();
        assert!(error.contains("rank 2 came twice"), "{error}");
        for one in twice {
            assert!(one.join().unwrap().unwrap_err().contains("rank 2 came twice"));
        }
    }

    #[test]
    fn strangers_do_not_disturb() {
        let (listener, at) = place();
        let garbage = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(), b"short", &[0xff; 4096]];
        let strangers = garbage.map(|bytes| {
            let mut stream = connect(&at).unwrap();
            // It may be closed while it talks.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            stream
        });
        let there = comes(&at, 1, 2);
        assert_eq!(lead(&listener, 2, &ID, LONG).unwrap().len(), 1);
        assert_eq!(there.join().unwrap(), Ok(ID));
        drop(strangers);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let (_listener, at) = place();
        let error = listen(&at).unwrap_err().to_string();
        assert!(error.contains(&format!("MASTER_PORT={}: rank 0 cannot listen there", at.1)), "{error}");
    }
}
