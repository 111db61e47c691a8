//! Streaming download into a `.part` file that a later try continues.

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tries in a row that bring nothing before giving up.
const IDLE_TRIES: u32 = 3;

/// Downloads `url` to `target`. What an earlier try left in `target.part` is kept and continued if the
/// server still has the same file. Returns without renaming: the caller checks `target.part` first.
pub(super) fn download(url: &str, target: &Path, size: Option<u64>) -> anyhow::Result<PathBuf> {
    let part = with_suffix(target, ".part");
    let tag = with_suffix(target, ".part.etag");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
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
        let outcome = attempt(&agent, url, &part, &tag, size, &bar);
        match outcome {
            Ok(()) => {
                bar.finish_and_clear();
                // A leftover tag only makes a later download start afresh.
                let _ = std::fs::remove_file(&tag);
                return Ok(part);
            }
            Err(Stop::Final(error)) => return Err(error),
            Err(Stop::Cut(error)) => {
                idle = if length(&part) > before { 0 } else { idle + 1 };
                if idle >= IDLE_TRIES {
                    let kept = length(&part);
                    return Err(error.context(format!(
                        "{url}: download cut off, {kept} bytes are kept: run the command again to continue"
                    )));
                }
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
    url: &str,
    part: &Path,
    tag: &Path,
    size: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), Stop> {
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
            restart(part, tag)?;
            return Err(Stop::Cut(anyhow::anyhow!("{url}: the server does not continue at {have} bytes")));
        }
        404 | 410 => return Err(Stop::Final(anyhow::anyhow!("{url}: not found (HTTP {status})"))),
        429 | 500.. => return Err(Stop::Cut(anyhow::anyhow!("{url}: HTTP {status}"))),
        _ => return Err(Stop::Final(anyhow::anyhow!("{url}: HTTP {status}"))),
    };
    if !continues {
        restart(part, tag)?;
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
    bar.set_length(total.or(size).unwrap_or(0));
    bar.set_position(start);
    let file = OpenOptions::new().create(true).append(true).open(part);
    let mut file = file.with_context(|| part.display().to_string()).map_err(Stop::Final)?;
    copy(&mut response.into_body().into_reader(), &mut file, part, start, size, bar)?;
    let got = length(part);
    match total.or(size) {
        Some(total) if got != total => Err(Stop::Cut(anyhow::anyhow!("{got} of {total} bytes"))),
        _ => Ok(()),
    }
}

fn copy(
    from: &mut impl Read,
    to: &mut File,
    part: &Path,
    start: u64,
    size: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), Stop> {
    let mut buffer = vec![0; 1 << 17];
    let mut at = start;
    loop {
        let count = from.read(&mut buffer).map_err(|e| Stop::Cut(e.into()))?;
        if count == 0 {
            return Ok(());
        }
        at += count as u64;
        if size.is_some_and(|size| at > size) {
            return Err(Stop::Final(anyhow::anyhow!("{}: more bytes than stated", part.display())));
        }
        to.write_all(&buffer[..count]).with_context(|| part.display().to_string()).map_err(Stop::Final)?;
        bar.set_position(at);
    }
}

/// Forgets what was downloaded so far.
fn restart(part: &Path, tag: &Path) -> Result<(), Stop> {
    for path in [part, tag] {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Stop::Final(e.into())),
            _ => {}
        }
    }
    Ok(())
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
