//! `weights pull`: download, check, unpack, record.

use super::catalogue::{Entry, catalogue};
use super::download::{Wanted, check, download};
use super::folder::{Record, record, sha256};
use crate::failure::bad_input;
use anyhow::Context;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

/// Largest parameter file taken out of an archive, bytes.
const MAX_MEMBER: u64 = 16 << 30;

/// Downloads what the catalogue has under `name` into `folder`.
pub(super) fn pull(name: &str, mirror: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    let all = catalogue()?;
    let entry = all.entry(name).ok_or_else(|| {
        bad_input(format!("unknown parameter set \"{name}\": `foldry weights list` shows the known ones"))
    })?;
    pull_entry(entry, mirror, folder)
}

pub(super) fn pull_entry(entry: &Entry, mirror: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    if let Some(mirror) = mirror.filter(|m| !m.starts_with("http://") && !m.starts_with("https://")) {
        return Err(bad_input(format!(
            "mirror {mirror}: expected an address beginning with http:// or https://"
        )));
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let url = match mirror {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), entry.file_name()),
        None => entry.url.clone(),
    };
    let target = folder.join(entry.file_name());
    let unpacks = !entry.members.is_empty();
    let done = download(&Wanted { url: &url, target: &target, size: entry.size, unpacks })?;
    let part = done.part.clone();
    let (hash, size) = sha256(&part)?;
    check(&part, &hash, entry.sha256.as_deref())?;
    if entry.sha256.is_none() && !unpacks {
        // Nothing else tells parameters from a login page or half a file.
        if let Err(error) = nn::files::read(&part) {
            std::fs::remove_file(&part).with_context(|| part.display().to_string())?;
            let text = error.to_string();
            let what = text.strip_prefix(&format!("{}: ", part.display())).unwrap_or(&text);
            anyhow::bail!("{url}: the server sent {size} bytes that are no parameter file: {what}");
        }
    }
    if entry.sha256.is_none() {
        eprintln!("no checksum is published for {}: recording sha256 {hash}", entry.file_name());
    }
    let source = |what: &str| format!("{what} (sha256 {hash})");
    if !unpacks {
        std::fs::rename(&part, &target).with_context(|| target.display().to_string())?;
        let made = Record { sha256: hash, size, source: url, licence: entry.licence.clone() };
        record(folder, entry.file_name(), made)?;
        println!("{}", target.display());
        return Ok(());
    }
    for member in unpack(&part, &entry.members, folder)? {
        let path = folder.join(&member);
        let (sha256, size) = sha256(&path)?;
        record(
            folder,
            &member,
            Record { sha256, size, source: source(&url), licence: entry.licence.clone() },
        )?;
        println!("{}", path.display());
    }
    std::fs::remove_file(&part).with_context(|| part.display().to_string())
}

/// Takes the wanted files out of a tar, by plain name; anything else, and any path, is passed over.
/// Returns the names found. <https://www.gnu.org/software/tar/manual/html_node/Standard.html>
pub(super) fn unpack(archive: &Path, wanted: &[String], folder: &Path) -> anyhow::Result<Vec<String>> {
    let place = archive.display().to_string();
    let mut tar = BufReader::with_capacity(1 << 20, File::open(archive).with_context(|| place.clone())?);
    let mut found = Vec::new();
    let (mut header, mut ended) = ([0u8; 512], false);
    loop {
        match tar.read(&mut header[..1]).with_context(|| place.clone())? {
            0 => break,
            _ => tar.read_exact(&mut header[1..]).with_context(|| format!("{place}: header cut off"))?,
        }
        if header.iter().all(|&b| b == 0) {
            ended = true;
            break;
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b }))
            .sum();
        let field = |range: std::ops::Range<usize>| {
            let text = &header[range];
            String::from_utf8_lossy(&text[..text.iter().position(|&b| b == 0).unwrap_or(text.len())])
                .into_owned()
        };
        let octal = |text: String| u64::from_str_radix(text.trim(), 8).ok();
        let (stated, size) = (octal(field(148..156)), octal(field(124..136)));
        let (Some(size), true) = (size, stated == Some(sum)) else {
            anyhow::bail!("{place}: expected a tar header, found other bytes");
        };
        let name = field(0..100);
        let name = name.strip_prefix("./").unwrap_or(&name).to_string();
        let regular = matches!(header[156], b'0' | 0);
        if regular && field(345..500).is_empty() && wanted.contains(&name) {
            anyhow::ensure!(
                size <= MAX_MEMBER,
                "{place}: {name}: {size} bytes, at most {MAX_MEMBER} are taken"
            );
            let path = folder.join(&name);
            let part = folder.join(format!(".{name}.{}.part", std::process::id()));
            let copied = File::create(&part).and_then(|mut out| {
                let copied = std::io::copy(&mut tar.by_ref().take(size), &mut out)?;
                out.flush().map(|()| copied)
            });
            let whole = copied.with_context(|| part.display().to_string())? == size;
            if !whole {
                std::fs::remove_file(&part).with_context(|| part.display().to_string())?;
                anyhow::bail!("{place}: {name}: cut off");
            }
            std::fs::rename(&part, &path).with_context(|| path.display().to_string())?;
            found.push(name);
            skip(&mut tar, size.next_multiple_of(512) - size).with_context(|| place.clone())?;
        } else {
            let blocks = size.checked_next_multiple_of(512).with_context(|| place.clone())?;
            skip(&mut tar, blocks).with_context(|| place.clone())?;
        }
    }
    let (some, all) = (found.len(), wanted.len());
    anyhow::ensure!(ended || some == all, "{place}: cut off behind {some} of {all} parameter files");
    anyhow::ensure!(!found.is_empty(), "{place}: none of the expected parameter files is in it");
    Ok(found)
}

fn skip(from: &mut impl Read, count: u64) -> std::io::Result<()> {
    std::io::copy(&mut from.take(count), &mut std::io::sink()).map(drop)
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
