//! `weights list` and `weights inspect`: tables on stdout.

use super::catalogue::catalogue;
use super::folder::{find_in, installed_in};
use crate::failure::bad_input;
use fold::names::{Summary, canonical};
use std::io::Write;
use std::path::Path;

/// The catalogue, and what is installed.
pub(super) fn list(folder: Option<&Path>) -> anyhow::Result<()> {
    let all = catalogue()?;
    let mut out = crate::console::out();
    writeln!(out, "{:<30} {:<10} {:<9} {:<9} about", "name", "licence", "size", "checksum")?;
    for entry in &all.entries {
        let size = match (&entry.size, &entry.size_stated) {
            (Some(size), _) => mib(*size),
            (None, Some(stated)) => format!("~{stated}"),
            (None, None) => "unstated".into(),
        };
        let checksum = if entry.sha256.is_some() { "sha256" } else { "none" };
        let here = folder.is_some_and(|f| find_in(f, &entry.name).is_some());
        let mark = if here { " [installed]" } else { "" };
        writeln!(
            out,
            "{:<30} {:<10} {:<9} {:<9} {}{mark}",
            entry.name, entry.licence, size, checksum, entry.about
        )?;
    }
    writeln!(
        out,
        "\nmodel_1 … model_5 and model_1_ptm … model_5_ptm are taken from {}",
        all.default_archive
    )?;
    match folder {
        None => writeln!(out, "no weights folder: set FOLDRY_WEIGHTS")?,
        Some(folder) => {
            let here = installed_in(folder);
            writeln!(out, "{} installed in {}", here.len(), folder.display())?;
            for file in here {
                writeln!(out, "  {:<28} {:<10} {}", file.model, mib(file.size), file.path.display())?;
            }
        }
    }
    Ok(())
}

/// Tensors of a file, and the network they make.
pub(super) fn inspect(file: &Path) -> anyhow::Result<()> {
    let (format, arrays) = nn::files::read(file).map_err(bad_input)?;
    let mut out = crate::console::out();
    for (name, array) in &arrays {
        writeln!(out, "{name}\t{}\t{:?}", array.dtype(), array.shape())?;
    }
    let elements: usize = arrays.values().map(nn::files::Array::len).sum();
    writeln!(out, "# {format}: {} tensors, {elements} elements", arrays.len())?;
    match canonical(&arrays) {
        Err(error) => writeln!(out, "# not the parameters of a known network: {error}")?,
        Ok((naming, ours)) => {
            let s = Summary::of(&ours);
            writeln!(out, "# {naming:?} names; preset: {}", s.preset().unwrap_or("custom"))?;
            writeln!(
                out,
                "# blocks: {} evoformer, {} extra MSA, {} template; c_m {}, c_z {}, c_s {}; templates {}, pTM head {}",
                s.evoformer_blocks,
                s.extra_msa_blocks,
                s.template_blocks,
                s.c_m,
                s.c_z,
                s.c_s,
                s.templates,
                s.ptm
            )?;
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
