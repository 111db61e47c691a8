//! Checkpoints that are whole, replaced, pruned, and damaged in every way that is cheap to make.

use super::*;
use std::fs;

fn state(step: u64) -> State {
    State {
        format: FORMAT,
        step,
        position: 3 * step,
        samples_seen: 3 * step - 1,
        skipped: 1,
        updates: step,
        ema_n: step,
        best: Some(Best { step: 2, score: 0.1 + 0.2 }),
        order_hash: u64::MAX - 5,
        config_hash: "00".into(),
        config: BTreeMap::from([("lr".into(), Value::from(1e-3 / 3.0))]),
        parameters: [("a", vec![3, 5]), ("b", vec![7])]
            .map(|(name, shape)| Parameter { name: name.into(), shape })
            .into(),
        files: vec![],
    }
}

fn values(seed: u32) -> Vec<f32> {
    (0..22u32).map(|i| ((i * 31 + seed * 17) % 97) as f32 / 9.0 - 5.0).collect()
}

fn write(folder: &Path, step: u64) -> PathBuf {
    let (a, b) = (values(step as u32), values(90 + step as u32));
    save(folder, state(step), &[(group::PARAMS, &a), (group::EMA, &b)]).unwrap()
}

fn error(path: &Path) -> String {
    match load::load_with_hint(path) {
        Ok(_) => panic!("{} was read", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_written_is_read_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 7);
    assert_eq!(path, folder.path().join("step-00000007"));
    let mut read = load(&path).unwrap();
    let files = std::mem::take(&mut read.state.files);
    assert_eq!(read.state, state(7));
    assert_eq!(files.len(), 2);
    let arrays = load(&path).unwrap().arrays(group::EMA).unwrap();
    assert_eq!(arrays["b"].to_f32(), values(97)[15..]);
    assert_eq!(read.take(group::PARAMS).unwrap(), values(7));
    assert!(read.take(group::MEAN).is_err());
}

#[test]
fn saving_again_replaces_and_pruning_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    for step in [3, 9, 10, 9] {
        write(folder.path(), step);
    }
    fs::create_dir(folder.path().join(".step-00000011.99.part")).unwrap();
    fs::create_dir(folder.path().join("step-12")).unwrap();
    fs::create_dir(folder.path().join("notes")).unwrap();
    prune(folder.path(), 2).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["notes", "step-00000009", "step-00000010", "step-12"]);
    assert_eq!(latest(folder.path()).unwrap().unwrap(), folder.path().join("step-00000010"));
    assert_eq!(latest(&folder.path().join("none")).unwrap(), None);
}

#[test]
fn every_damaged_byte_is_noticed_and_the_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let older = write(folder.path(), 5);
    let path = write(folder.path(), 6);
    let hint = format!("hint: {} is intact; remove {}", older.display(), path.display());
    let mut files: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 4);
    for file in &files {
        let whole = fs::read(file).unwrap();
        let stem = file.file_name().unwrap().to_str().unwrap().trim_end_matches(".sha256");
        let check = |what: String| {
            let error = error(&path);
            assert!(error.contains(stem) && error.contains(&hint), "{what}: {error}");
        };
        // Flips of one bit, another one each time.
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(file, &damaged).unwrap();
            check(format!("{stem}: bit of byte {at}"));
        }
        for length in (0..whole.len()).step_by(7) {
            fs::write(file, &whole[..length]).unwrap();
            check(format!("{stem}: {length} bytes"));
        }
        let longer = [&whole[..], &[0]].concat();
        fs::write(file, &longer).unwrap();
        check(format!("{stem}: longer"));
        fs::remove_file(file).unwrap();
        check(format!("{stem}: missing"));
        fs::write(file, &whole).unwrap();
        load(&path).unwrap();
    }
}

#[test]
fn with_nothing_intact_the_hint_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for step in [1, 2] {
        let path = write(folder.path(), step);
        fs::remove_file(path.join("params-00001.safetensors")).unwrap();
    }
    let error = error(&folder.path().join("step-00000002"));
    assert!(error.ends_with("no other checkpoint beside it is intact"), "{error}");
}

#[test]
fn a_list_that_leads_out_of_the_folder_is_refused() {
    use sha2::{Digest, Sha256};
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), 4);
    let file = path.join(STATE);
    let text = fs::read_to_string(&file).unwrap().replace("ema-00001.safetensors", "../secret");
    fs::write(&file, &text).unwrap();
    let sum = crate::config::hex(&Sha256::digest(text.as_bytes()));
    fs::write(path.join(STATE_SUM), format!("{sum}  {STATE}\n")).unwrap();
    let error = error(&path);
    assert!(error.contains("expected a list of files of this folder, found ../secret"), "{error}");
}

#[test]
fn a_save_that_cannot_begin_says_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = save(&file, state(3), &[]).unwrap_err().to_string();
    assert!(
        error.contains("step-00000003: could not be saved") && error.contains("no earlier one"),
        "{error}"
    );
    // The temporary folder's place is taken by a file.
    let previous = write(folder.path(), 1);
    fs::write(folder.path().join(format!(".step-00000002.{}.part", std::process::id())), "x").unwrap();
    let error = save(folder.path(), state(2), &[]).unwrap_err().to_string();
    assert!(error.ends_with(&format!("hint: {} is untouched", previous.display())), "{error}");
    load(&previous).unwrap();
}
