//! Runs all comparisons, and sees that none is missing: every output in the golden's index is compared, and
//! every input was read.

use super::golden::Golden;
use super::report::Report;
use super::{ALL, Cases};

/// Inputs that AlphaFold's modules are given and do not use, by module and name, with the reason.
const UNUSED: [(&str, &str, &str); 4] = [
    ("msa_transition", "in1", "a transition sees every element alone and has no use for a mask"),
    ("pair_transition", "in1", "as above"),
    ("single_template_embedding", "in0", "the query's pair representation, read for its type only"),
    ("single_template_embedding", "in2", "handed on to template_pair_stack, where it is compared"),
];

fn report(golden: &Golden, cases: &[(&str, Cases)]) -> Report {
    let mut report = Report::default();
    for (name, cases) in cases {
        cases(golden, &mut report).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    report
}

#[test]
fn every_module_agrees_with_alphafold_on_its_own_input() {
    let report = report(&Golden::load(), &ALL);
    println!("{}", report.table());
    report.check();
}

#[test]
fn nothing_in_the_index_is_left_out() {
    let golden = Golden::load();
    let report = report(&golden, &ALL);
    for (call, values) in &golden.index {
        let outputs: Vec<String> =
            values.keys().filter(|v| v.starts_with("out")).map(|v| format!("{call}:{v}")).collect();
        assert!(!outputs.is_empty(), "{call} has no output");
        for name in outputs {
            assert!(report.has(&name), "{name} is compared with nothing");
        }
    }
}

#[test]
fn index_and_file_list_the_same_values() {
    let golden = Golden::load();
    let mut count = 0;
    for (call, values) in &golden.index {
        for (value, shape) in values {
            let name = format!("{call}:{value}");
            assert_eq!(golden.wanted(&name).dims(), shape, "{name}");
            count += 1;
        }
    }
    let first_pass = golden.taps().filter(|(name, _)| !name.starts_with("pass_")).count();
    assert_eq!(count, first_pass, "the file has values that the index does not list");
}

#[test]
fn every_input_is_read_or_known_to_be_unused() {
    let golden = Golden::load();
    let report = report(&golden, &ALL);
    let mut unused = UNUSED.map(|_| 0);
    for (name, _) in golden.taps().filter(|(name, _)| !report.has(name) && !golden.was_read(name)) {
        let (call, value) = name.split_once(':').unwrap();
        let module = call.split('#').next().and_then(|m| m.rsplit('/').next()).unwrap();
        let known = UNUSED.iter().position(|&(m, v, _)| m == module && value.split('.').next() == Some(v));
        match known {
            Some(i) => unused[i] += 1,
            None => panic!("{name} is read by no test"),
        }
    }
    for (count, (module, value, _)) in unused.iter().zip(UNUSED) {
        assert!(*count > 0, "{module}:{value} is read, or does not exist: no longer an exception");
    }
}
