//! Results: all files of a job into a folder, checked by their sha256; or one answer in the form that is asked for.

use super::http::{Client, Failure};
use super::path;
use crate::failure::bad_input;
use crate::fold_run::sha256_of;
use anyhow::Context;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use ureq::http::Method;

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One model, PDB.
    Pdb,
    /// One model, ModelCIF.
    Cif,
    /// The product: ranking and list of files.
    Json,
    /// All files.
    Zip,
}

impl Format {
    fn media(self) -> &'static str {
        match self {
            Self::Pdb => "chemical/x-pdb",
            Self::Cif => "chemical/x-mmcif",
            Self::Json => "application/json",
            Self::Zip => "application/zip",
        }
    }

    /// Of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Pdb => "pdb",
            Self::Cif => "cif",
            Self::Json => "json",
            Self::Zip => "zip",
        }
    }
}

/// Bytes of one file; an aligned error of 10,000 residues has 500 MB.
const LARGEST: u64 = 4 << 30;

/// One answer, written to `out`.
///
/// # Errors  no such job or none that is done; a connection that broke; a full disk.
pub fn one(client: &Client, id: &str, format: Format, rank: u32, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = path(id, &format!("/result?rank={rank}"))?;
    let mut answer =
        client.ask(&Method::GET, &path, &[("accept", format.media())], None).map_err(|e| e.error())?;
    let announced = answer.body().content_length();
    let mut reader = answer.body_mut().as_reader().take(LARGEST);
    let written = std::io::copy(&mut reader, out).with_context(|| format!("the result of {id} broke off"))?;
    if announced.is_some_and(|bytes| bytes != written) {
        return Err(anyhow::anyhow!("the result of {id} broke off after {written} bytes"));
    }
    Ok(())
}

/// Writes all files of a job that succeeded to `folder/NAME`. Files that are there and the same are left; returns the place.
///
/// # Errors  no such job or none that is done; other files there already; bytes that are not what was announced.
pub fn files(client: &Client, id: &str, folder: &Path, overwrite: bool) -> anyhow::Result<PathBuf> {
    let job = client.json(&Method::GET, &path(id, "")?, &[], None).map_err(|e| e.error())?;
    let Some(list) = job["result"]["files"].as_array() else {
        let state = super::problem::plain(job["state"].as_str().unwrap_or("unknown"));
        return Err(anyhow::anyhow!("job {id}: expected one that succeeded, found {state}"));
    };
    let name = job["name"].as_str().unwrap_or(id);
    let place = folder.join(sound(name)?);
    std::fs::create_dir_all(&place).with_context(|| format!("cannot make the folder {}", place.display()))?;
    let mut wanted = Vec::new();
    for file in list {
        let name = sound(file["name"].as_str().unwrap_or(""))?;
        let sha256 = file["sha256"].as_str().unwrap_or("");
        let to = place.join(name);
        match std::fs::read(&to) {
            Ok(bytes) if sha256_of(&bytes) == sha256 => {}
            Ok(_) if !overwrite => {
                let what = "expected nothing or the same result, found another";
                return Err(bad_input(format!("{}: {what}; --overwrite replaces it", to.display())));
            }
            _ => wanted.push((name, sha256, file["bytes"].as_u64().unwrap_or(LARGEST).min(LARGEST), to)),
        }
    }
    for (name, sha256, bytes, to) in wanted {
        let content = content(client, id, name, sha256, bytes)?;
        let part = to.with_file_name(format!(".{name}.part"));
        std::fs::write(&part, &content)
            .and_then(|()| std::fs::rename(&part, &to))
            .with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(place)
}

/// One file, tried twice more where its bytes are not those announced.
fn content(client: &Client, id: &str, name: &str, sha256: &str, bytes: u64) -> anyhow::Result<Vec<u8>> {
    let path = path(id, &format!("/files/{name}"))?;
    let mut why = String::new();
    for _ in 0..3 {
        let mut answer = client.ask(&Method::GET, &path, &[], None).map_err(|e: Failure| e.error())?;
        let mut content = Vec::new();
        match answer.body_mut().as_reader().take(bytes + 1).read_to_end(&mut content) {
            Ok(_) if sha256_of(&content) == sha256 => return Ok(content),
            Ok(read) => why = format!("expected {bytes} bytes with sha256 {sha256}, found {read} others"),
            Err(error) => why = super::problem::plain(&error.to_string()),
        }
    }
    Err(anyhow::anyhow!("{name} of job {id}: {why}"))
}

/// A name that stays in its folder, whatever the server says.
fn sound(name: &str) -> anyhow::Result<&str> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match letters && !name.is_empty() && !name.starts_with('.') && name.len() <= 200 {
        true => Ok(name),
        false => Err(anyhow::anyhow!(
            "expected a name of letters, digits, `.`, `_` and `-` from the server, found {name:?}"
        )),
    }
}

/// The value of a job's key, for lines; a dash where there is none.
pub(super) fn shown(job: &Value, key: &str) -> String {
    match &job[key] {
        Value::Null => "-".to_string(),
        Value::String(text) => super::problem::plain(text),
        other => super::problem::plain(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake};
    use super::*;

    fn job(sha256: &str, name: &str) -> Answer {
        let file = format!(r#"{{"name": "{name}", "sha256": "{sha256}", "bytes": 5}}"#);
        Answer::json(&format!(
            r#"{{"id": "0a", "name": "t1", "state": "succeeded", "result": {{"files": [{file}]}}}}"#
        ))
    }

    #[test]
    fn files_are_checked_kept_and_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let sha256 = sha256_of(b"ATOM\n");
        let fetch = |answers: Vec<Answer>, overwrite: bool| {
            let fake = Fake::new(answers);
            files(&fake.client(), "0a", folder.path(), overwrite).map(|place| (place, fake.requests().len()))
        };
        // The first bytes are damaged, the second are right.
        let (place, asked) =
            fetch(vec![job(&sha256, "rank_001.pdb"), Answer::json("ATUM\n"), Answer::json("ATOM\n")], false)
                .unwrap();
        assert_eq!((std::fs::read(place.join("rank_001.pdb")).unwrap(), asked), (b"ATOM\n".to_vec(), 3));
        assert_eq!(fetch(vec![job(&sha256, "rank_001.pdb")], false).unwrap().1, 1); // all there
        let other = sha256_of(b"OTHER");
        let error = fetch(vec![job(&other, "rank_001.pdb")], false).unwrap_err();
        assert!(
            error.to_string().contains("--overwrite replaces it") && crate::failure::code(&error) == 2,
            "{error}"
        );
        assert!(fetch(vec![job(&other, "rank_001.pdb"), Answer::json("OTHER")], true).is_ok());
        let error = fetch(vec![job(&other, "../x")], false).unwrap_err().to_string();
        assert!(error.contains("found \"../x\""), "{error}");
        let error = fetch(vec![Answer::json(r#"{"state": "running"}"#)], false).unwrap_err().to_string();
        assert_eq!(error, "job 0a: expected one that succeeded, found running");
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_result() {
        let fake = Fake::new(vec![Answer::json("ATOM\n"), Answer::json("ATOM\n").cut(3)]);
        let mut out = Vec::new();
        one(&fake.client(), "0a", Format::Cif, 2, &mut out).unwrap();
        assert_eq!(out, b"ATOM\n");
        assert!(
            fake.requests()[0].contains("GET /v1/jobs/0a/result?rank=2 ")
                && fake.requests()[0].contains("accept: chemical/x-mmcif")
        );
        assert!(one(&fake.client(), "0a", Format::Pdb, 1, &mut Vec::new()).is_err());
    }
}
