//! A packed set of three backbones and two all-atom chains.

use super::*;
use chem::atoms::{C, CA, CB, N, O};
use std::io::Write;

const INDEX: &str = "id\tpdb\tchain\tlength\tfirst_residue\tsequence\tdssp\n\
                     1ABC_A_0\t1ABC\tA\t5\t-1\tMKVLU\tCCCCC\n\
                     2ABC_B_1\t2ABC\tB\t4\t7\tGGSS\tCCCC\n\
                     3ABC_C_2\t3ABC\tC\t6\t1\tAAAAAA\tCCCCCC\n";
const SPLIT: &str = "id\tcluster30\tsplit\tno_train_homolog\n1ABC_A_0\tx\ttrain\t\n2ABC_B_1\tx\tval\t1\n\
                     3ABC_C_2\ty\ttest\t0\nAA0\tz\ttrain\t\nAA1\tz\ttrain\t\n";

/// Offsets of residue `i` of all, planes N, CA, C, O.
fn planes(i: i16, first: bool) -> [i16; 12] {
    let step = if first { [0, 0, 0] } else { [220, -220, 219] };
    [-80 - i, 90, 80, step[0], step[1], step[2], 120, -70, 50 + i, 200, 100, -60]
}

fn make(folder: &Path) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(INDEX.as_bytes()).unwrap();
    write(folder, "backbone/index.tsv.gz", &gzip.finish().unwrap());
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (12, 15), }";
    npy.extend(format!("{header:117}\n").bytes());
    for plane in 0..12 {
        for i in 0..15 {
            npy.extend(planes(i, [0, 5, 9].contains(&i))[plane].to_le_bytes());
        }
    }
    write(folder, "backbone/coords.npy.zst", &zstd::encode_all(&npy[..], 3).unwrap());
    let a3m = b">1ABC_A_0\nMKVLX\n>r\nMKaV-X\n\0>2ABC_B_1\nGGSS\n\0>3ABC_C_2\nAAAAAG\n>q\nAAAAAG\n\0";
    write(folder, "msas/part-00.a3m.zst", &zstd::encode_all(&a3m[..], 3).unwrap());

    let header = "id\tsource\tfile\tpdb\tchain\tlength\tdeposited\tsequence\n";
    let rows = "AA0\tx\tAA0.pdb\t\tA\t3\t2011-07-08\tGAS\nAA1\tx\tAA1.pdb\t\tA\t2\t\tGA\n";
    write(folder, "allatom/index.tsv", format!("{header}{rows}").as_bytes());
    let pdb = "ATOM      1  N   GLY A   4       1.000   2.000   3.000\n\
               ATOM      2  CA  GLY A   4       2.458   2.000   3.000\n\
               ATOM      3  C   GLY A   4       3.000   3.420   3.000\n\
               ATOM      4  N   ALA A   9       3.600   4.600   3.000\n\
               ATOM      5  CA  ALA A   9       4.600   5.600   3.000\n\
               ATOM      6  CB  ALA A   9       5.600   5.600   2.004\n\
               ATOM      7  CA  SER A  12       9.600   5.600   2.004\n";
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("AA0.pdb", pdb), ("unlisted.pdb", pdb)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let tar = archive.into_inner().unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(3)).unwrap();
    xz.write_all(&tar).unwrap();
    write(folder, "allatom/chains.tar.xz", &xz.finish().unwrap());
}

fn settings() -> Settings {
    let filters = Filters { max_single_share: 1.0, min_resolved: 1, ..Filters::default() };
    Settings { filters, splits: Splits::parse("s", SPLIT).unwrap(), ..Settings::default() }
}

#[test]
fn every_part_arrives() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    assert!(is_packed(folder.path()) && !is_packed(&folder.path().join("msas")));
    let packed = Packed::open(folder.path()).unwrap();
    assert_eq!(packed.jobs(), 5);
    let (set, report) = run(folder.path(), Box::new(packed), &settings());
    assert_eq!(ids(&set), ["1ABC_A_0", "2ABC_B_1", "3ABC_C_2", "AA0"]);
    assert_eq!(refusals(&report), [("AA1", Reason::Unreadable)]);
    assert!(report.refused[0].what.contains("not in chains.tar.xz"));

    let first = set.chain(0).unwrap();
    assert_eq!((first.sequence.as_str(), &first.residue_index[..]), ("MKVLX", &[-1, 0, 1, 2, 3][..]));
    assert_eq!(first.positions[0][N], [-0.8, 0.9, 0.8]);
    assert_eq!(first.positions[2][CA], [4.4, -4.4, 4.38]);
    assert_eq!(first.positions[2][C], [5.6, -5.1, 4.9]);
    assert_eq!(first.positions[2][O], [6.4, -3.4, 3.78]);
    assert!(first.mask.iter().all(|m| m.iter().filter(|&&m| m).count() == 4 && !m[CB]));
    let msa = first.msa.unwrap();
    assert_eq!((msa.rows(), msa.row(1)), (2, &b"MKV-X"[..]));
    assert_eq!(msa.deletions(1), [msa::Deletion { column: 2, count: 1 }]);
    assert_eq!(set.chain(1).unwrap().msa, None, "an alignment of the query alone is none");
    assert_eq!(set.chain(2).unwrap().positions[0][CA], [0.0; 3], "each chain begins at its own origin");
    let note = &report.notes[0];
    assert!(note.0 == "3ABC_C_2" && note.1.contains("expected the chain's sequence"), "{note:?}");

    let entry = set.entry(3);
    assert_eq!((entry.kind, entry.date), (crate::Kind::AllAtom, Date::new(2011, 7, 8)));
    let all = set.chain(3).unwrap();
    // Residue 9 is bonded to 4, so it follows; 12 is not bonded to 9.
    assert_eq!(all.residue_index, [4, 5, 8]);
    assert_eq!((all.positions[1][CB], all.mask[2][N]), ([5.6, 5.6, 2.0], false));
    let rows: Vec<_> =
        set.entries().iter().map(|e| (e.cluster.as_str(), e.split, e.no_train_homolog)).collect();
    use Split::{Test, Train, Val};
    assert_eq!(rows, [("x", Train, false), ("x", Val, true), ("y", Test, false), ("z", Train, false)]);
}

#[test]
fn tables_and_arrays_that_do_not_fit_are_refused() {
    let say = |name: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        write(folder.path(), name, bytes);
        Packed::open(folder.path()).map(|_| ()).unwrap_err().to_string()
    };
    let index = INDEX.replace("\t4\t7\tGGSS", "\t3\t7\tGGS");
    assert!(say("backbone/index.tsv.gz", index.as_bytes()).contains("expected the 15 residues"));
    let index = INDEX.replace("\t4\t7\tGGSS", "\t4\t7\tGGS");
    assert!(
        say("backbone/index.tsv.gz", index.as_bytes()).contains("index.tsv.gz:3: expected a sequence of 4")
    );
    assert!(
        say("backbone/coords.npy.zst", b"\x93NUMPY\x01\x00\x05\x00{}   ").contains("int16 [12, residues]")
    );
    let twice = b">1ABC_A_0\nM\n\0>1ABC_A_0\nM\n";
    assert!(say("msas/part-01.a3m.zst", twice).contains("two alignments of 1ABC_A_0"));
    assert!(say("allatom/index.tsv", b"id\tfile\n").contains("a column deposited"));
}

#[test]
fn an_archive_cut_short_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let whole = std::fs::read(folder.path().join("allatom/chains.tar.xz")).unwrap();
    write(folder.path(), "allatom/chains.tar.xz", &whole[..whole.len() / 2]);
    let mut writer = Writer::create(&folder.path().join("out.foldset"), None).unwrap();
    let packed: Box<dyn Source> = Box::new(Packed::open(folder.path()).unwrap());
    let error = ingest(&mut [packed], &settings(), &mut writer, &()).unwrap_err().to_string();
    assert!(error.contains("chains.tar.xz: "), "{error}");
    drop(writer);
    assert!(!folder.path().join("out.foldset").exists());
}
