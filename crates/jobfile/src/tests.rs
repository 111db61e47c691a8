//! What each dialect means, by whole files.

use crate::{Alignment, Content, Error, Limits, Note, Request, Seeds, read};

const SERVER: &str = include_str!("../../../tests/fuzz/seeds/jobfile/server.json");
const ALPHAFOLD3: &str = include_str!("../../../tests/fuzz/seeds/jobfile/alphafold3.json");
const BOLTZ: &str = include_str!("../../../tests/fuzz/seeds/jobfile/boltz.yaml");
const TABLE: &str = include_str!("../../../tests/fuzz/seeds/jobfile/colabfold.csv");
const OWN: &str = include_str!("../../../tests/fuzz/seeds/jobfile/own.json");

fn requests(name: &str, text: &str) -> Result<Vec<Request>, Error> {
    read(name, text.as_bytes(), &Limits::default())
}

fn refusal(name: &str, text: &str) -> String {
    match requests(name, text).and_then(|mut read| read.remove(0).monomer()) {
        Ok(monomer) => panic!("{text}: {monomer:?}"),
        Err(error) => error.to_string(),
    }
}

fn texts(notes: &[Note]) -> Vec<String> {
    notes.iter().map(Note::to_string).collect()
}

fn ids(request: &Request) -> Vec<&str> {
    request.chains.iter().flat_map(|c| c.ids.iter().map(String::as_str)).collect()
}

#[test]
fn alphafold_server_lists_become_requests() {
    let read = requests("a/b.json", SERVER).unwrap();
    let first = read[0].clone().monomer().unwrap();
    assert_eq!((first.name.as_str(), first.sequence.as_str()), ("two seeds", "MKVLAWGDEYF"));
    assert_eq!((first.seeds, first.alignment), (Some(Seeds { first: 7, count: 2 }), Alignment::None));
    let note = "a/b.json: /0/sequences/0/proteinChain/maxTemplateDate: no template is searched for; the date is not used";
    assert_eq!(texts(&first.notes), [note]);
    assert_eq!(ids(&read[1]), ["A", "B"]);
    let refused: Vec<String> =
        read[1].unsupported.iter().map(|u| format!("{} {}", u.place.pointer, u.what)).collect();
    assert_eq!(
        refused,
        [
            "/1/sequences/0/proteinChain/glycans glycans are",
            "/1/sequences/0/proteinChain/modifications modified residues are",
            "/1/sequences/1/dnaSequence DNA is",
            "/1/sequences/2/rnaSequence RNA is",
            "/1/sequences/3/ligand ligands are",
            "/1/sequences/4/ion ions are",
        ]
    );
    let error = read[1].clone().monomer().unwrap_err().to_string();
    assert_eq!(error, "a/b.json: /1/sequences/0/proteinChain/glycans: glycans are not supported yet");
}

#[test]
fn alphafold3_jobs_keep_alignments_and_mappings() {
    let read = requests("x.json", ALPHAFOLD3).unwrap();
    let job = read[0].clone().monomer().unwrap();
    assert_eq!(job.seeds, Some(Seeds { first: 1, count: 3 }));
    assert_eq!(job.alignment, Alignment::Text(">q\nMKVLA\n>a\nMK-LA\n".into()));
    assert_eq!(job.templates[0].structure, Content::Path("t/1abc.cif".into()));
    assert_eq!(job.templates[0].mapping, Some(vec![(0, 4), (1, 5), (2, 6)]));
    assert!(job.notes.is_empty(), "{:?}", job.notes);
    let alignment = |entry: &str| {
        let text = format!(
            r#"{{"sequences": [{{"protein": {{"id": "A", "sequence": "MK", {entry}}}}}], "version": 5}}"#
        );
        let job = requests("x.json", &text).unwrap().remove(0).monomer().unwrap();
        (job.alignment, job.notes.len())
    };
    assert_eq!(alignment(r#""unpairedMsa": """#), (Alignment::Empty, 1)); // the version is newer than 4
    assert_eq!(alignment(r#""unpairedMsa": null, "pairedMsa": ">q\nMK""#), (Alignment::None, 2));
    assert_eq!(alignment(r#""unpairedMsaPath": "../a.a3m""#), (Alignment::Path("../a.a3m".into()), 1));
}

#[test]
fn boltz_files_name_lines() {
    let read = requests("in/my job.yaml.gz", BOLTZ).unwrap().remove(0);
    assert_eq!((read.name.as_str(), ids(&read)), ("my job", vec!["A", "2"]));
    assert_eq!(read.chains[0].alignment, Alignment::Path("./msa/seq1.a3m".into()));
    assert_eq!(read.chains[1].alignment, Alignment::Empty);
    assert_eq!(read.chains[1].sequence, "MVTPEGNVSLVDES"); // an alias
    assert_eq!(read.chains[0].templates[0].chain.as_deref(), Some("B"));
    assert!(read.chains[1].templates.is_empty());
    let refused: Vec<_> = read.unsupported.iter().map(|u| (u.place.line, u.place.pointer.as_str())).collect();
    assert_eq!(refused, [(8, "/sequences/1/ligand"), (12, "/constraints")]);
    let error = read.monomer().unwrap_err().to_string();
    assert_eq!(error, "in/my job.yaml.gz:8: /sequences/1/ligand: ligands are not supported yet");
}

#[test]
fn tables_and_fasta_of_colabfold_are_split_at_colons() {
    let read = requests("x.csv", TABLE).unwrap();
    let all: Vec<_> = read.iter().map(|r| (r.name.as_str(), ids(r).len(), r.place.line)).collect();
    assert_eq!(all, [("one", 1, 2), ("two, quoted", 2, 3), ("three", 1, 5)]);
    assert_eq!(read[1].chains[1].sequence, "GGA");
    assert_eq!(texts(&read[1].notes), ["x.csv:3: 1 lower-case residue read as upper case"]);
    let error = read[1].clone().monomer().unwrap_err().to_string();
    assert_eq!(error, "x.csv:3: complexes (here 2 chains: A, B) are not supported yet");
    assert_eq!(read[2].clone().monomer().unwrap_err().to_string(), "x.csv:5: DNA is not supported yet");
    let fasta = requests("x.fasta", ">a b\r\nMK\r\nVL:\r\nGG\r\n>c\r\nMKV*\r\n").unwrap();
    let all: Vec<_> = fasta.iter().map(|r| (r.name.as_str(), ids(r).len(), r.place.line)).collect();
    assert_eq!(all, [("a b", 2, 1), ("c", 1, 5)]);
    assert_eq!(texts(&fasta[1].notes), ["x.fasta:5: 1 stop (`*`) at the end dropped"]);
}

#[test]
fn our_own_jobs_keep_their_options() {
    let mut read = requests("x.json", OWN).unwrap();
    let bare = read.pop().unwrap().monomer().unwrap();
    assert_eq!((bare.sequence.as_str(), bare.seeds), ("", None));
    let job = read.pop().unwrap().monomer().unwrap();
    assert_eq!(job.seeds, Some(Seeds { first: 4, count: 3 }));
    let options = job.options;
    assert_eq!(
        (options.model.as_deref(), options.recycles, options.max_msa),
        (Some("auto"), Some(3), Some((512, 1024)))
    );
    assert_eq!(
        (options.priority, options.reuse, options.recycle_tolerance),
        (Some(-2), Some(true), Some(0.5))
    );
    assert_eq!(options.webhook.unwrap().url, "https://example.org/x");
    assert_eq!(job.templates[0].structure, Content::Text("data_x\n".into()));
    assert_eq!(requests("x.json", r#"[{"sequence": "MK"}, {"sequence": "MV"}]"#).unwrap().len(), 2);
}

#[test]
fn what_is_wrong_is_placed() {
    let long = format!("{{\"sequence\": \"{}\"}}", "M".repeat(100_001));
    for (name, text, message) in [
        (
            "x.json",
            r#"{"sequence": "MK1"}"#,
            "x.json: /sequence: expected amino-acid letters, found `1` at position 3",
        ),
        (
            "x.json",
            r#"{"sequence": "M*K"}"#,
            "x.json: /sequence: expected stops only at the end of a sequence, found `*` at position 2, before others",
        ),
        ("x.json", r#"{"sequence": " "}"#, "x.json: /sequence: expected amino-acid letters, found none"),
        ("x.json", &long, "x.json: /sequence: expected at most 100000 residues in one chain, found more"),
        (
            "x.json",
            "[{\"sequence\": \"MK\",\n \"sede\": 1}]",
            "x.json:2:7: /0/sede: unknown field `sede`, expected one of",
        ),
        (
            "x.json",
            r#"{"sequence": "MK", "options": {"seed": -1}}"#,
            "x.json:1:41: /options/seed: expected a whole number from 0, found integer `-1`",
        ),
        (
            "x.json",
            r#"{"sequence": "MK"} x"#,
            "x.json:1:20: expected the end of the file, found more after the JSON",
        ),
        (
            "x.json",
            r#"{"sequence": "MK", "options": {"num_seeds": 0}}"#,
            "x.json: /options/num_seeds: expected at least 1 seed, found 0",
        ),
        ("x.json", "[]", "x.json: expected a job file"),
        ("x.json", r#"{"jobs": []}"#, "x.json: expected at least one job, found none"),
        (
            "x.json",
            r#"{"plddt": []}"#,
            "x.json: expected a job file (AlphaFold Server or AlphaFold 3 JSON, Boltz YAML, ColabFold FASTA or CSV, or jobs with `sequence` or `alignment`), found JSON with the keys `plddt`",
        ),
        (
            "x.json",
            r#"{"sequences": [{"protein": {"id": 1.5, "sequence": "MK"}}]}"#,
            "x.json:1:37: /sequences/0/protein/id: expected a text or a list of texts, found floating point `1.5`",
        ),
        (
            "x.json",
            r#"{"sequences": [{"protein": {"id": [], "sequence": "MK"}}]}"#,
            "x.json: /sequences/0/protein/id: expected chain ids, found none or an empty one",
        ),
        (
            "x.json",
            r#"{"sequences": [{"peptide": {"id": "A"}}]}"#,
            "x.json:1:25: /sequences/0: unknown variant `peptide`, expected one of `protein`",
        ),
        (
            "x.json",
            r#"{"sequences": [{"protein": {"id": ["A", "B"], "sequence": "MK"}}]}"#,
            "x.json: /sequences/0/protein: complexes (here 2 chains: A, B) are not supported yet",
        ),
        (
            "x.json",
            r#"{"sequences": [{"protein": {"id": "A", "sequence": "MK"}}, {"protein": {"id": "A", "sequence": "MV"}}]}"#,
            "x.json: /sequences/1/protein: expected each chain id once, found `A` again",
        ),
        (
            "x.json",
            r#"{"sequences": [], "modelSeeds": [1, 3]}"#,
            "x.json: expected consecutive seeds, as in 3, 4, 5, found 1, 3",
        ),
        ("x.json", r#"{"sequences": [], "modelSeeds": [1]}"#, "x.json: expected a protein chain, found none"),
        (
            "x.json",
            r#"{"sequences": [], "modelSeeds": ["x"]}"#,
            "x.json:1:36: /modelSeeds/0: expected a seed, a whole number from 0, found string \"x\"",
        ),
        (
            "x.json",
            r#"[{"sequences": [{"proteinChain": {"sequence": "MK", "count": 9999999999}}]}]"#,
            "x.json: /0/sequences/0/proteinChain/count: expected at most 1000 chains, found more",
        ),
        (
            "x.yaml",
            "sequences:\n- protein:\n    id: A\n    seq: MK\n",
            "x.yaml:4: /sequences/0/protein/seq: unknown field `seq`",
        ),
        (
            "x.yaml",
            "sequences:\n- protein:\n    id: A\n    id: B\n",
            "x.yaml:4: expected each key once, found `id` again",
        ),
        (
            "x.yaml",
            "sequences:\n- protein: {id: A, sequence: M?K}\n",
            "x.yaml:2: /sequences/0/protein/sequence: expected amino-acid letters, found `?` at position 2",
        ),
        ("x.yaml", "sequences: [\n", "x.yaml:1:12: unclosed bracket '['"),
        (
            "x.yaml",
            "sequences: []\n---\nsequences: []\n",
            "x.yaml:2: expected one YAML document, found another",
        ),
        (
            "x.yaml",
            "sequences: &a [*a]\n",
            "x.yaml:1: expected an alias of a value before it, found one of a value around it",
        ),
        ("x.yaml", "# nothing\n", "x.yaml: expected a YAML document, found none"),
        (
            "x.yaml",
            "sequences:\n- protein: {id: A, sequence: MK, cyclic: true}\n",
            "x.yaml:2: /sequences/0/protein/cyclic: cyclic chains are not supported yet",
        ),
        (
            "x.csv",
            "name,sequence\na,MK\n",
            "x.csv:1: expected the columns `id` and `sequence`, found `name`, `sequence`",
        ),
        ("x.csv", "id,sequence\na\n", "x.csv:2: expected 2 columns, found 1"),
        (
            "x.csv",
            "id,sequence\na,fat|MK\n",
            "x.csv:2: expected dna, rna, ccd, smiles or protein before `|`, found `fat`",
        ),
        ("x.csv", "id,sequence\na,MK:\n", "x.csv:2: expected amino-acid letters, found none"),
    ] {
        let found = refusal(name, text);
        assert!(found.starts_with(message), "{message}\n{found}");
    }
    let error = read("x.csv", b"id,sequence\na,\xff\n", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "x.csv:2: expected UTF-8 text, found byte 0xff");
    assert_eq!(error.place().line, 2);
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 900, entries: 2, chains: 3, residues: 4, seeds: 5 };
    let message = |name: &str, text: &str| read(name, text.as_bytes(), &limits).unwrap_err().to_string();
    assert_eq!(message("x.json", &" ".repeat(901)), "x.json: expected at most 900 bytes, found more");
    let three = r#"[{"sequence": "M"}, {"sequence": "M"}, {"sequence": "M"}]"#;
    assert_eq!(message("x.json", three), "x.json: expected at most 2 jobs, found more");
    assert_eq!(
        message("x.csv", "id,sequence\na,M\nb,M\nc,M\n"),
        "x.csv: expected at most 2 jobs, found more"
    );
    assert_eq!(
        message("x.csv", "id,sequence\na,M:M:M:M\n"),
        "x.csv:2: expected at most 3 chains, found more"
    );
    let seeds = r#"{"sequences": [], "modelSeeds": [1, 2, 3, 4, 5, 6]}"#;
    assert_eq!(message("x.json", seeds), "x.json: /modelSeeds: expected at most 5 seeds, found more");
    let seeds = r#"{"sequence": "M", "options": {"num_seeds": 6}}"#;
    assert_eq!(message("x.json", seeds), "x.json: /options/num_seeds: expected at most 5 seeds, found more");
}

/// Aliases that double ten times each, deep nesting, long lists: an error soon, with little memory.
#[test]
fn hostile_yaml_ends_early() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..12 {
        let of = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{of}]\n"));
    }
    let message = |text: &str| requests("x.yaml", text).unwrap_err().to_string();
    assert_eq!(message(&laughs), "x.yaml:5: expected at most 100000 values, aliases written out, found more");
    let long = format!("a: &a {}\nb: [{}]\n", "M".repeat(1 << 20), vec!["*a"; 2000].join(", "));
    assert_eq!(message(&long), "x.yaml:2: expected at most 268435456 bytes, aliases written out, found more");
    let deep = format!("a: {}", "[".repeat(10_000));
    assert_eq!(message(&deep), "x.yaml:1:68: recursion limit exceeded");
    let deep = format!("a: {}{}", "[".repeat(30), "]".repeat(30));
    assert_eq!(message(&deep), "x.yaml:1: expected at most 24 lists and maps within each other, found more");
    let deep: String = (0..10_000).map(|i| format!("{}-\n", " ".repeat(i.min(300)))).collect();
    assert!(message(&deep).starts_with("x.yaml:"), "{}", message(&deep));
    let list = format!("sequences: [{}]", "1,".repeat(200_000));
    assert!(message(&list).contains("at most 100000 values"), "{}", message(&list));
    let list = format!("[{}", "{\"sequence\":1},".repeat(3));
    assert!(requests("x.json", &list).is_err());
    let empty = format!("[{}0]", "{\"sequence\":null},".repeat(100_001));
    assert!(requests("x.json", &empty).unwrap_err().to_string().contains("at most 100000 entries"));
}
