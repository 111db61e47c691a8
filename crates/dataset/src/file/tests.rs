//! Whole files: what is written comes back, and damage is told by place.

use crate::sample::chain;
use crate::{Chain, Dataset, Date, Prepared, Split, Writer};
use std::path::Path;

/// (id, length, rows, side chains)
const CHAINS: [(&str, usize, usize, bool); 5] = [
    ("1abc_A", 31, 1, false),
    ("2xyz_B", 57, 5, true),
    ("3ß", 1, 2, true),
    ("4_", 83, 1, true),
    ("5", 19, 3, false),
];

fn chains() -> Vec<Chain> {
    CHAINS.iter().map(|&(_, length, rows, side)| chain(length, rows, side)).collect()
}

fn prepared() -> Vec<Prepared> {
    let splits = [Split::Train, Split::Val, Split::Test, Split::Train, Split::Train];
    let one = |((id, chain), split): ((&str, &Chain), Split)| {
        let prepared = Prepared::new(id, "made up", chain).unwrap();
        prepared
            .with_split(&format!("c{}", id.len()), split, true)
            .with_origin(Some(1.8), Date::new(2011, 7, 8))
    };
    CHAINS.iter().map(|c| c.0).zip(&chains()).zip(splits).map(one).collect()
}

fn write(path: &Path, part_size: Option<u64>) -> crate::Written {
    let mut writer = Writer::create(path, part_size).unwrap();
    prepared().into_iter().for_each(|p| writer.add(p).unwrap());
    writer.finish().unwrap()
}

fn same(found: &Chain, expected: &Chain) {
    assert_eq!(found.sequence, expected.sequence);
    assert_eq!(found.residue_index, expected.residue_index);
    assert_eq!((&found.aatype, &found.mask), (&expected.aatype, &expected.mask));
    assert_eq!(found.positions, expected.positions); // they are whole hundredths
    assert_eq!(found.depth(), expected.depth());
    let (a, b) = (found.alignment(), expected.alignment());
    for row in 0..a.rows() {
        assert_eq!((a.row(row), a.deletions(row)), (b.row(row), b.deletions(row)));
    }
}

#[test]
fn a_set_comes_back_whole_and_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.foldset");
    assert_eq!(write(&path, None).files, std::slice::from_ref(&path));
    let parts = write(&folder.path().join("b.foldset"), Some(1200));
    assert!(parts.files.len() > 2 && parts.chains == CHAINS.len(), "{parts:?}");
    for file in &parts.files {
        let chains = Dataset::open_parts(&[file]).unwrap().len();
        assert!(chains == 1 || std::fs::metadata(file).unwrap().len() <= 1200, "{file:?}");
    }
    let whole = Dataset::open(&path).unwrap();
    let by_name = Dataset::open(&folder.path().join("b.foldset")).unwrap();
    let by_part = Dataset::open(&parts.files[1]).unwrap();
    for set in [&whole, &by_name, &by_part] {
        set.verify().unwrap();
        assert_eq!((set.len(), set.set_id()), (CHAINS.len(), whole.set_id()));
        for (i, (id, expected)) in CHAINS.iter().map(|c| c.0).zip(chains()).enumerate() {
            assert_eq!(set.find(id), Some(i));
            assert_eq!(set.entry(i), whole.entry(i));
            same(&set.chain(i).unwrap(), &expected);
        }
    }
    let entry = whole.entry(1);
    assert_eq!((entry.length, entry.depth, entry.kind), (57, 5, crate::Kind::AllAtom));
    assert_eq!((entry.cluster.as_str(), entry.split, entry.no_train_homolog), ("c6", Split::Val, true));
    assert!(!whole.entry(0).no_train_homolog, "only held-out chains have that");
    assert_eq!(whole.split(Split::Train), [0, 3, 4]);
    let some = Dataset::open_parts(&parts.files[1..2]).unwrap();
    assert!(some.len() < CHAINS.len() && some.find(&by_name.entry(0).id).is_none());
}

#[test]
fn a_shorter_set_leaves_no_old_parts_and_a_failure_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.foldset");
    let many = write(&path, Some(1200)).files.len();
    let few = write(&path, Some(6000)).files.len();
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    assert!(few < many && count() == few);
    let mut writer = Writer::create(&path, Some(1200)).unwrap();
    prepared().into_iter().for_each(|p| writer.add(p).unwrap());
    let twin = writer.add(prepared().remove(0)).unwrap_err().to_string();
    assert_eq!(twin, "chain 1abc_A: expected one chain of this id, found two");
    assert!(count() > few);
    drop(writer);
    assert_eq!(count(), few);
    assert!(Dataset::open(&path).is_ok());
}

#[test]
fn an_empty_set_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.foldset");
    Writer::create(&path, None).unwrap().finish().unwrap();
    let set = Dataset::open(&path).unwrap();
    set.verify().unwrap();
    assert!(set.is_empty());
}

#[test]
fn every_flipped_byte_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.foldset");
    write(&path, None);
    let good = std::fs::read(&path).unwrap();
    let mut in_records = 0;
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let message = match Dataset::from_bytes("a.foldset", bytes) {
            Err(error) => error.to_string(),
            Ok(set) => {
                let error = set.verify().expect_err("a flipped byte").to_string();
                in_records += usize::from(error.starts_with("a.foldset: chain "));
                error
            }
        };
        assert!(message.starts_with("a.foldset: ") && message.len() < 400, "{at}: {message}");
    }
    assert!(in_records > good.len() / 2, "{in_records} of {} bytes hit a record", good.len());
    let mut bytes = good.clone();
    bytes[20] ^= 4;
    let set = Dataset::from_bytes("a.foldset", bytes).unwrap();
    let message = set.chain(0).unwrap_err().to_string();
    assert!(message.starts_with("a.foldset: chain 1abc_A at byte 16: expected checksum "), "{message}");
    assert!(set.chain(1).is_ok(), "the others are not hit");
}

#[test]
fn cut_files_and_other_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.foldset");
    write(&path, None);
    let good = std::fs::read(&path).unwrap();
    for end in 0..good.len() {
        assert!(Dataset::from_bytes("a.foldset", good[..end].to_vec()).is_err(), "{end}");
    }
    let mut longer = good.clone();
    longer.extend([0; 7]);
    let mut newer = good.clone();
    newer[8] = 2;
    let cases: [(Vec<u8>, &str); 7] = [
        (vec![], "x: byte 0: expected a dataset, found an empty file"),
        (b"\x89FOLDS\r\n".to_vec(), "cut short"),
        (good[..good.len() - 5].to_vec(), "cut short"),
        (longer, "appended to"),
        (newer, "x: byte 8: expected format version 1, found version 2"),
        (b"\x1f\x8b123".to_vec(), "gzip"),
        (b"hello, world".to_vec(), "bytes `hello, world`"),
    ];
    for (bytes, word) in cases {
        let error = Dataset::from_bytes("x", bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let parts = write(&folder.path().join("b.foldset"), Some(1200)).files;
    let other = folder.path().join("c.foldset");
    let mut writer = Writer::create(&other, None).unwrap();
    writer.add(Prepared::new("z", "", &chain(9, 1, false)).unwrap()).unwrap();
    writer.finish().unwrap();
    let say = |files: &[&Path]| Dataset::open_parts(files).map(|_| ()).unwrap_err().to_string();
    assert!(say(&[&parts[0], &other]).contains("c.foldset: expected a part of the same set"));
    assert!(say(&[&parts[0], &parts[0]]).contains("found 0 again"));
    std::fs::remove_file(&parts[1]).unwrap();
    let message = Dataset::open(&folder.path().join("b.foldset")).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("b.001.foldset"), "{message}");
    assert!(Dataset::open(&folder.path().join("none.foldset")).is_err());
}
