//! Folders of structure files, good and bad.

use super::*;
use crate::sample;
use std::io::Write;
use structure::{PredictedChain, Prediction, Provenance};

const MIXED: &str = include_str!("../../../../structure/tests/files/mixed.cif");

/// A PDB file with an alternate location, an insertion code, selenomethionine and a gap, without SEQRES.
const ODD: &str = "\
ATOM      1  CA  GLY A  52       0.000   0.000   0.000  1.00
ATOM      2  CA AALA A  52A      3.800   0.000   0.000  0.30
ATOM      3  CA BALA A  52A      3.900   0.000   0.000  0.70
ATOM      4  CA  SER A  53       7.600   0.000   0.000  1.00
HETATM    5  CA  MSE A  60      30.000   0.000   0.000  1.00
HETATM    6 SE   MSE A  60      31.000   0.000   0.000  1.00
ATOM      7  CA  TRP A  61      33.800   0.000   0.000  1.00
";

/// A file of one chain made by the writers of crate structure.
fn made(length: usize, shift: u8, chain: &str, cif: bool) -> String {
    let mut of = sample::chain(length, 1, true);
    of.aatype.iter_mut().for_each(|a| *a = (*a + shift) % 20);
    let numbers = (1..=length as i32).collect();
    let chains = vec![PredictedChain { id: chain.into(), aatype: of.aatype, numbers }];
    let plddt = vec![50.0; length];
    // Backbone and Cβ, so that every type has them.
    let mask = of.mask.iter().map(|_| std::array::from_fn(|a| a < 3 || a == 4)).collect();
    let made = Prediction::new("made", chains, of.positions, mask, plddt).unwrap();
    if cif { structure::write_modelcif(&made, &Provenance::default()) } else { structure::write_pdb(&made) }
}

fn make(folder: &Path) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(MIXED.as_bytes()).unwrap();
    write(folder, "div/9xyz.cif.gz", &gzip.finish().unwrap());
    write(folder, "odd_A.pdb", ODD.as_bytes());
    write(folder, "pdb1aaa.ent", made(23, 1, "B", false).as_bytes());
    write(folder, "2bbb.cif", made(17, 2, "A", true).as_bytes());
    write(folder, "copy/2bbb.cif", made(17, 2, "A", true).as_bytes());
    write(folder, "bad.pdb", b"ATOM  this is not a PDB file\n");
    write(folder, "broken.cif.gz", b"\x1f\x8b\x08 broken");
    write(folder, "empty.cif", b"");
    write(folder, "notes.txt", b"not looked at");
    let query = String::from_utf8(sample_letters(17, 2)).unwrap();
    write(
        folder,
        "alignments/2bbb_A/uniref90_hits.a3m",
        format!(">q\n{query}\n>a\n{query}\n>b\n{}\n", "-".repeat(17)).as_bytes(),
    );
}

fn sample_letters(length: usize, shift: u8) -> Vec<u8> {
    let types = sample::chain(length, 1, true).aatype;
    types.into_iter().map(|a| chem::residue::letter((a + shift) % 20)).collect()
}

fn source(folder: &Path, splits: &Splits) -> Box<dyn Source> {
    assert!(has_structures(folder).unwrap() && has_alignments(folder).unwrap());
    Box::new(Folder::open(folder, Alignments::default(), splits).unwrap())
}

#[test]
fn good_chains_arrive_and_bad_files_are_reported() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(folder.path());
    let filters = Filters { min_resolved: 3, ..Filters::default() };
    let settings = Settings { filters, ..Settings::default() };
    let (set, report) = run(out.path(), source(folder.path(), &Splits::default()), &settings);
    assert_eq!(ids(&set), ["2bbb_A", "9xyz_H", "odd_A", "1aaa_B"]);
    let mut unreadable: Vec<&str> = report.refused.iter().map(|r| r.source.as_str()).collect();
    unreadable.sort_unstable();
    assert_eq!(unreadable, ["bad.pdb", "broken.cif.gz", "copy/2bbb.cif", "div/9xyz.cif.gz", "empty.cif"]);
    let why = |source: &str| report.refused.iter().find(|r| r.source == source).unwrap();
    assert!(why("bad.pdb").what.contains("bad.pdb:1:"), "{:?}", why("bad.pdb"));
    assert_eq!((why("copy/2bbb.cif").id.as_str(), why("copy/2bbb.cif").reason), ("2bbb_A", Reason::SameId));
    assert_eq!(
        (why("div/9xyz.cif.gz").id.as_str(), why("div/9xyz.cif.gz").reason),
        ("9xyz_L", Reason::Unresolved)
    );

    let chain = |id: &str| set.chain(set.find(id).unwrap()).unwrap();
    let made = chain("2bbb_A");
    assert_eq!(made.sequence.as_bytes(), sample_letters(17, 2));
    assert_eq!((made.depth(), made.alignment().row(1)), (2, &[b'-'; 17][..]), "the query's twin is one row");
    let mixed = set.entry(set.find("9xyz_H").unwrap());
    assert_eq!((mixed.length, mixed.resolution, mixed.date), (6, Some(1.85), Date::new(2003, 4, 5)));
    assert_eq!((mixed.source.as_str(), mixed.split), ("div/9xyz.cif.gz", Split::Train));
    let mixed = chain("9xyz_H");
    assert_eq!(&mixed.sequence[..3], "GMK", "modified residues are their parents");
    assert_eq!(mixed.residue_index, [1, 2, 3, 4, 5, 6]);
    assert!(mixed.mask[0].iter().all(|m| !m), "an unresolved residue has its place and no atoms");

    let odd = chain("odd_A");
    assert_eq!(odd.sequence, "GASMW");
    assert_eq!(odd.residue_index, [52, 53, 54, 61, 62], "an inserted residue moves the others on, gaps stay");
    assert_eq!(odd.positions[1][1][0], 3.9, "the better occupied location");
    let sd = chem::atoms::atom_order("SD").unwrap();
    assert!(odd.mask[3][sd], "selenium is the sulphur of methionine");
}

#[test]
fn threads_and_parts_change_nothing() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(folder.path());
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(out.path(), source(folder.path(), &Splits::default()), &Settings::default()));
        std::fs::read(out.path().join("out.foldset")).unwrap()
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn held_out_sequences_leave_training_and_unlisted_chains_are_refused() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, length, shift) in
        [("a", 23, 1), ("b", 17, 2), ("c", 23, 1), ("d", 17, 2), ("e", 31, 3), ("f", 17, 2)]
    {
        write(folder.path(), &format!("{name}_A.pdb"), made(length, shift, "A", false).as_bytes());
    }
    let table = "id\tcluster\tsplit\na_A\tx\ttrain\nb_A\ty\tval\nc_A\tx\tval\nd_A\ty\ttest\nf_A\ty\ttrain\n";
    let splits = Splits::parse("s", table).unwrap();
    let folder_source = || -> Box<dyn Source> {
        Box::new(Folder::open(folder.path(), Alignments::default(), &splits).unwrap())
    };
    let settings = Settings { splits: splits.clone(), ..Settings::default() };
    let (set, report) = run(out.path(), folder_source(), &settings);
    assert_eq!(ids(&set), ["c_A", "d_A"]);
    let refused = [
        ("e_A", Reason::NotInSplit),
        ("a_A", Reason::HeldOut),
        ("b_A", Reason::HeldOut),
        ("f_A", Reason::HeldOut),
    ];
    assert_eq!(refusals(&report), refused);
    assert!(report.refused[1].what.contains("c_A in val"), "{:?}", report.refused[1]);
    assert_eq!(report.kept, 2);

    let clusters = Clusters::parse("c", "e_A\tc_A\ne_A\te_A\n").unwrap();
    let settings = Settings { unlisted_train: true, clusters, ..settings };
    let (set, _) = run(out.path(), folder_source(), &settings);
    let clusters: Vec<_> =
        set.entries().iter().map(|e| (e.id.as_str(), e.cluster.as_str(), e.split)).collect();
    use Split::{Test, Train, Val};
    assert_eq!(clusters, [("c_A", "e_A", Val), ("d_A", "y", Test), ("e_A", "e_A", Train)]);
}

/// Stops after the first job.
struct Impatient(AtomicUsize);

impl Watch for Impatient {
    fn progress(&self, done: usize, of: usize) {
        assert!(done <= of);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

#[test]
fn a_run_that_is_stopped_leaves_nothing() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(folder.path());
    let mut writer = Writer::create(&out.path().join("out.foldset"), Some(1 << 20)).unwrap();
    let sources = &mut [source(folder.path(), &Splits::default())];
    let stopped = ingest(sources, &Settings::default(), &mut writer, &Impatient(AtomicUsize::new(0)));
    assert!(stopped.unwrap().is_none());
    drop(writer);
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}
