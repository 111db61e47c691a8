//! Streaming download into a `.part` file that a later try continues.

use crate::disk;
use crate::failure::text;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Tries in a row that bring nothing before giving up.
const IDLE_TRIES: u32 = 3;

/// A connection over which nothing comes for so long is given up.
const STALL: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });

/// What is to be downloaded.
pub(super) struct Wanted<'a> {
    /// From where.
    pub url: &'a str,
    /// The file; what is downloaded lies beside it as `FILE.part` until the caller has checked it.
    pub target: &'a Path,
    /// Published size, bytes.
    pub size: Option<u64>,
    /// It will be unpacked beside itself.
    pub unpacks: bool,
}

/// A whole download, locked against other runs.
pub(super) struct Download {
    /// `FILE.part`.
    pub part: PathBuf,
    /// Open and locked.
    _lock: File,
}

/// Downloads a file. What an earlier try left in `FILE.part` is kept and continued if the server still has
/// the same file. Returns without renaming.
pub(super) fn download(wanted: &Wanted<'_>) -> anyhow::Result<Download> {
    let Wanted { url, target, .. } = *wanted;
    let part = with_suffix(target, ".part");
    let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    let mut file = disk::lock(&part, "is downloading this", open)?;
    let tag = with_suffix(target, ".part.etag");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(STALL))
        .user_agent(concat!("foldry/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let bar = ProgressBar::new(0); // on stderr, silent where that is no terminal
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(target.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let mut idle = 0;
    loop {
        let before = length(&part);
        let outcome = attempt(&agent, wanted, &mut file, &part, &tag, &bar);
        let kept = length(&part);
        if outcome.is_err() && kept == 0 {
            // An empty file helps nobody; the lock goes with the program.
            let _ = std::fs::remove_file(&part);
        }
        match outcome {
            Ok(()) => {
                bar.finish_and_clear();
                // A leftover tag only makes a later download start afresh.
                let _ = std::fs::remove_file(&tag);
                return Ok(Download { part, _lock: file });
            }
            Err(Stop::Final(error)) => return Err(error),
            Err(Stop::Cut(error)) => {
                idle = if kept > before { 0 } else { idle + 1 };
                if idle >= IDLE_TRIES {
                    return Err(error.context(match kept {
                        0 => format!("cannot download {url}"),
                        _ => format!("{url}: download cut off, {kept} bytes are kept: run the command again to continue"),
                    }));
                }
                if kept == 0 {
                    file = disk::lock(&part, "is downloading this", open)?;
                }
                bar.suspend(|| eprintln!("NOTE  {url}: {}; trying again", text(&error)));
                std::thread::sleep(Duration::from_millis(200 << idle));
            }
        }
    }
}

/// Why a try ended before the file was whole.
enum Stop {
    /// Trying again may help.
    Cut(anyhow::Error),
    /// Trying again does not help.
    Final(anyhow::Error),
}

fn attempt(
    agent: &ureq::Agent,
    wanted: &Wanted<'_>,
    file: &mut File,
    part: &Path,
    tag: &Path,
    bar: &ProgressBar,
) -> Result<(), Stop> {
    let Wanted { url, size, .. } = *wanted;
    let have = length(part);
    let known = std::fs::read_to_string(tag).ok();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
        if let Some(known) = &known {
            // The server sends the whole file if it is no longer the one we began.
            request = request.header("If-Range", known);
        }
    }
    let response = request.call().map_err(|e| Stop::Cut(e.into()))?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    let status = response.status().as_u16();
    let range = header("content-range").unwrap_or_default();
    let total_stated: Option<u64> = range.rsplit_once('/').and_then(|(_, total)| total.parse().ok());
    let continues = match status {
        200 => false,
        206 if range.starts_with(&format!("bytes {have}-")) => true,
        416 if total_stated == Some(have) && have > 0 => return Ok(()),
        206 | 416 => {
            restart(file, tag)?;
            return Err(Stop::Cut(anyhow::anyhow!("the server does not continue at {have} bytes")));
        }
        404 | 410 => return Err(Stop::Final(anyhow::anyhow!("{url}: not found (HTTP {status})"))),
        429 | 500.. => return Err(Stop::Cut(anyhow::anyhow!("HTTP {status}"))),
        _ => return Err(Stop::Final(anyhow::anyhow!("{url}: HTTP {status}"))),
    };
    if !continues {
        restart(file, tag)?;
        if let Some(etag) = header("etag").filter(|e| !e.starts_with("W/")) {
            std::fs::write(tag, etag).map_err(|e| Stop::Final(e.into()))?;
        }
    }
    let start = if continues { have } else { 0 };
    let length_stated: Option<u64> = header("content-length").and_then(|n| n.parse().ok());
    let total = length_stated.map(|n| start + n).or(total_stated);
    if let (Some(total), Some(size)) = (total, size)
        && total != size
    {
        let error = format!("{url}: expected {size} bytes, the server has {total}");
        return Err(Stop::Final(anyhow::anyhow!(error)));
    }
    if let Some(total) = total {
        let need = total.saturating_sub(start) + if wanted.unpacks { total } else { 0 };
        let name = wanted.target.file_name().unwrap_or_default().to_string_lossy();
        let what = if wanted.unpacks { " and what is unpacked from it" } else { "" };
        let folder = wanted.target.parent().unwrap_or(Path::new("."));
        disk::check(folder, need, &format!("{name}{what}")).map_err(Stop::Final)?;
    }
    bar.set_length(total.or(size).unwrap_or(0));
    bar.set_position(start);
    copy(response.into_body().into_reader(), file, part, start, size, bar)?;
    let got = length(part);
    match total.or(size) {
        Some(total) if got != total => Err(Stop::Cut(anyhow::anyhow!("{got} of {total} bytes"))),
        _ => Ok(()),
    }
}

fn copy(
    mut from: impl Read + Send + 'static,
    to: &mut File,
    part: &Path,
    start: u64,
    size: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), Stop> {
    // Read on a thread of its own, so that a server which falls silent is noticed; it ends with the connection.
    let (send, receive) = sync_channel(4);
    std::thread::spawn(move || {
        loop {
            let mut buffer = vec![0; 1 << 17];
            let read = from.read(&mut buffer).map(|count| {
                buffer.truncate(count);
                buffer
            });
            let last = !matches!(&read, Ok(bytes) if !bytes.is_empty());
            if send.send(read).is_err() || last {
                break;
            }
        }
    });
    let mut at = start;
    loop {
        let silent = |_| Stop::Cut(anyhow::anyhow!("nothing came for {} s", STALL.as_secs()));
        let buffer = receive.recv_timeout(STALL).map_err(silent)?.map_err(|e| Stop::Cut(e.into()))?;
        let count = buffer.len();
        if count == 0 {
            return Ok(());
        }
        at += count as u64;
        if size.is_some_and(|size| at > size) {
            return Err(Stop::Final(anyhow::anyhow!("{}: more bytes than stated", part.display())));
        }
        to.write_all(&buffer).with_context(|| part.display().to_string()).map_err(Stop::Final)?;
        bar.set_position(at);
    }
}

/// Forgets what was downloaded so far.
fn restart(file: &File, tag: &Path) -> Result<(), Stop> {
    file.set_len(0).map_err(|e| Stop::Final(e.into()))?;
    match std::fs::remove_file(tag) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Stop::Final(e.into())),
        _ => Ok(()),
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Compares a downloaded file with its published checksum; a wrong one is removed.
pub(super) fn check(part: &Path, found: &str, expected: Option<&str>) -> anyhow::Result<()> {
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(found) => {
            std::fs::remove_file(part).with_context(|| part.display().to_string())?;
            bail!("{}: expected sha256 {expected}, found {found}; the download was removed", part.display())
        }
        _ => Ok(()),
    }
}
