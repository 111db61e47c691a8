//! Pulling from a server in this process: whole, cut off and continued, changed, wrong, absent.

use super::super::folder::{records, verify};
use super::*;
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// What the server does with the next request; with none left it serves the file properly.
#[derive(Clone, Copy)]
enum Fault {
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Answers with this status.
    Status(u16),
    /// Falls silent after so many bytes of the body.
    Stall(usize),
}

struct Server {
    base: String,
    /// The Range header of each request, empty if there was none.
    ranges: Arc<Mutex<Vec<String>>>,
}

/// Serves `body` under any path, with ranges and an ETag.
fn serve(body: Vec<u8>, mut faults: Vec<Fault>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let seen = ranges.clone();
    faults.reverse();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().take(20) {
            let Ok(mut stream) = stream else { continue };
            let mut range = String::new();
            let mut tag = None;
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                let line = line.to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("range: ") {
                    range = value.to_string();
                }
                if let Some(value) = line.strip_prefix("if-range: ") {
                    tag = Some(value.to_string());
                }
            }
            seen.lock().unwrap().push(range.clone());
            let etag = format!("\"{:x}\"", body.iter().map(|&b| u64::from(b)).sum::<u64>());
            let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0);
            let same = tag.is_none_or(|t| t == etag);
            let fault = faults.pop();
            let (head, data) = match fault {
                Some(Fault::Status(code)) => {
                    (format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n"), &body[..0])
                }
                _ if from >= body.len() && from > 0 && same => (
                    format!(
                        "HTTP/1.1 416 X\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n",
                        body.len()
                    ),
                    &body[..0],
                ),
                _ if from > 0 && same => (
                    format!(
                        "HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n",
                        body.len() - 1,
                        body.len(),
                        body.len() - from
                    ),
                    &body[from..],
                ),
                _ => (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len()), &body[..]),
            };
            let data = match fault {
                Some(Fault::Cut(n) | Fault::Stall(n)) => &data[..n.min(data.len())],
                _ => data,
            };
            // A client that has seen enough may hang up.
            let _ = write!(stream, "{head}ETag: {etag}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(data);
            if let Some(Fault::Stall(_)) = fault {
                silent.push(stream);
            }
        }
    });
    Server { base, ranges }
}

/// A .safetensors file of so many bytes, at least 200: one tensor, the header filled up with blanks.
fn file_of(length: usize) -> Vec<u8> {
    let count = (length - 8 - 100) / 4;
    let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{}]}}}}"#, 4 * count);
    let header = format!("{header:width$}", width = length - 8 - 4 * count);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..4 * count).map(|i| (i * 31 % 251) as u8));
    assert_eq!(bytes.len(), length);
    bytes
}

fn entry(sha256: Option<&str>) -> Entry {
    Entry {
        name: "finetuning_3".into(),
        url: "https://example.invalid/x/finetuning_3.pt".into(),
        about: "test".into(),
        licence: "CC BY 4.0".into(),
        size: None,
        size_stated: None,
        sha256: sha256.map(str::to_string),
        members: vec![],
    }
}

#[test]
fn pulls_and_records() {
    let (body, folder) = (file_of(300_001), tempfile::tempdir().unwrap());
    let server = serve(body.clone(), vec![]);
    pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("finetuning_3.pt")).unwrap(), body);
    let record = &records(folder.path()).unwrap()["finetuning_3.pt"];
    assert_eq!((record.size, record.licence.as_str()), (300_001, "CC BY 4.0"));
    assert_eq!(record.source, format!("{}/finetuning_3.pt", server.base));
    verify(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn continues_after_a_cut() {
    let (body, folder) = (file_of(500_003), tempfile::tempdir().unwrap());
    let server = serve(body.clone(), vec![Fault::Cut(200_000), Fault::Status(503), Fault::Cut(100_000)]);
    pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("finetuning_3.pt")).unwrap(), body);
    let ranges = server.ranges.lock().unwrap().clone();
    assert_eq!(ranges, ["", "bytes=200000-", "bytes=200000-", "bytes=300000-"]);
}

#[test]
fn continues_in_a_second_run_unless_the_file_changed() {
    let (body, folder) = (file_of(100_000), tempfile::tempdir().unwrap());
    let broken = [vec![Fault::Cut(60_000)], vec![Fault::Status(500); 9]].concat();
    let server = serve(body.clone(), broken);
    let error = pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap_err();
    assert!(format!("{error:#}").contains("60000 bytes are kept"), "{error:#}");
    // Another file under the same address: begun anew, not glued together.
    let other: Vec<u8> = body[..200].iter().copied().chain(body[200..].iter().map(|b| b ^ 1)).collect();
    let server = serve(other.clone(), vec![]);
    pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap();
    assert_eq!(server.ranges.lock().unwrap()[0], "bytes=60000-");
    assert_eq!(std::fs::read(folder.path().join("finetuning_3.pt")).unwrap(), other);
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let (body, folder) = (file_of(40_000), tempfile::tempdir().unwrap());
    let server = serve(body.clone(), vec![Fault::Stall(30_000)]);
    pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("finetuning_3.pt")).unwrap(), body);
    assert_eq!(*server.ranges.lock().unwrap(), ["", "bytes=30000-"]);
}

#[test]
fn what_is_no_parameter_file_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    for body in [b"<html>please log in</html>".to_vec(), file_of(4000)[..3000].to_vec(), vec![]] {
        let server = serve(body.clone(), vec![]);
        let error = pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{} bytes that are no parameter file", body.len())), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let error = pull_entry(&entry(None), Some("ftp://x"), folder.path()).unwrap_err();
    assert!(error.is::<crate::failure::BadInput>(), "{error}");
}

#[cfg(unix)]
#[test]
fn a_second_pull_does_not_write_into_the_first_ones_file() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(folder.path().join("finetuning_3.pt.part")).unwrap();
    held.lock().unwrap();
    let server = serve(file_of(1000), vec![]);
    let error = pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap_err().to_string();
    assert!(error.contains("another run of foldry is downloading this"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    // A server that states a size larger than any disk.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(3).flatten() {
            let mut request = [0; 2000];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\nMK");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = pull_entry(&entry(None), Some(&base), folder.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("finetuning_3.pt needs 1000000000.0 GB of disk space, "), "{text}");
    assert!(text.ends_with(" are free"), "{text}");
}

#[test]
fn a_whole_part_is_not_loaded_again() {
    let (body, folder) = (file_of(70_000), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("finetuning_3.pt.part"), &body).unwrap();
    let server = serve(body, vec![]);
    pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap();
    assert_eq!(*server.ranges.lock().unwrap(), ["bytes=70000-"]);
}

#[test]
fn refuses_wrong_checksum_wrong_size_and_absent_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(file_of(1000), vec![]);
    let error = pull_entry(&entry(Some(&"0".repeat(64))), Some(&server.base), folder.path()).unwrap_err();
    assert!(error.to_string().contains("expected sha256 0000"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let sized = Entry { size: Some(999), ..entry(None) };
    let error = pull_entry(&sized, Some(&server.base), folder.path()).unwrap_err();
    assert!(error.to_string().contains("expected 999 bytes, the server has 1000"), "{error}");
    let server = serve(vec![], vec![Fault::Status(404)]);
    let error = pull_entry(&entry(None), Some(&server.base), folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("not found (HTTP 404)"), "{error}");
    assert_eq!(server.ranges.lock().unwrap().len(), 1);
    assert!(pull("model_77", None, folder.path()).unwrap_err().to_string().contains("model_77"));
}

/// A tar of files by name.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(header);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn takes_only_wanted_members_out_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let body = tar(&[
        ("LICENSE", b"text"),
        ("../params_model_1.npz", b"outside"),
        ("./params_model_1.npz", &file_of(1300)),
        ("sub/params_model_2.npz", b"below"),
        ("params_model_2_ptm.npz", b"second"),
    ]);
    let server = serve(body, vec![]);
    let members = ["params_model_1.npz", "params_model_2.npz", "params_model_2_ptm.npz"];
    let archive = Entry {
        url: "https://example.invalid/a.tar".into(),
        members: members.map(str::to_string).into(),
        ..entry(None)
    };
    pull_entry(&archive, Some(&format!("{}/", server.base)), folder.path()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["params_model_1.npz", "params_model_2_ptm.npz", "weights.lock.json"]);
    assert_eq!(std::fs::read(folder.path().join("params_model_1.npz")).unwrap(), file_of(1300));
    assert!(!folder.path().parent().unwrap().join("params_model_1.npz").exists());
    verify(folder.path()).unwrap();
}

#[test]
fn damaged_archives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let whole = tar(&[("x.npz", &file_of(900))]);
    let wanted = ["x.npz".to_string()];
    for length in [1, 100, 512, 700, 1411] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(unpack(&path, &wanted, folder.path()).is_err(), "{length}");
        assert!(!folder.path().join("x.npz").exists());
    }
    // Cut between two files: the end is missing, and with it one of the files.
    let both = tar(&[("x.npz", &file_of(900)), ("y.npz", &file_of(300))]);
    let wanted_both = ["x.npz", "y.npz"].map(str::to_string);
    std::fs::write(&path, &both[..512 + 1024]).unwrap();
    let error = unpack(&path, &wanted_both, folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("cut off behind 1 of 2 parameter files"), "{error}");
    for at in [3, 130, 150] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(
            unpack(&path, &wanted, folder.path()).unwrap_err().to_string().contains("tar header"),
            "{at}"
        );
    }
}
