//! What a job must be; every refusal names the field.

use crate::code::Code;
use crate::limits::Limits;
use crate::problem::{Problem, Result};
use crate::shapes::{NewJob, NewTemplate};
use std::fmt::Display;
use work::{Engine, Model};

/// JavaScript's largest integer without gaps: a seed must come back as it was sent.
const LARGEST_SEED: u64 = (1 << 53) - 1;

/// The chain of a job, checked.
pub(super) struct Chain {
    /// Safe as a file's name.
    pub(super) name: String,
    /// The 20 letters and `X`.
    pub(super) sequence: String,
    /// A3M, and its rows.
    pub(super) alignment: Option<(Vec<u8>, u32)>,
}

fn bad(pointer: &str, expected: impl Display, found: impl Display) -> Problem {
    let detail = format!("{}: expected {expected}, found {found}", place(pointer));
    Problem::new(Code::BadField, detail).at(pointer)
}

/// `/options/seed` as `options.seed`.
fn place(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// Numbers and lengths within bounds.
pub(super) fn numbers(new: &NewJob, limits: &Limits) -> Result<()> {
    let options = &new.options;
    let within = |pointer: &str, value: u64, least: u64, most: u64| {
        let ok = (least..=most).contains(&value);
        if ok { Ok(()) } else { Err(bad(pointer, format!("{least} to {most}"), value)) }
    };
    within("/options/recycles", options.recycles.unwrap_or(0).into(), 0, limits.recycles.into())?;
    within("/options/num_seeds", options.num_seeds.into(), 1, limits.num_seeds.into())?;
    // The last seed is the first and so many more.
    within("/options/seed", options.seed, 0, LARGEST_SEED - u64::from(options.num_seeds - 1))?;
    if !(0.0..=1000.0).contains(&options.recycle_tolerance) {
        return Err(bad("/options/recycle_tolerance", "0 to 1000", options.recycle_tolerance));
    }
    if let Some((clustered, extra)) = options.max_msa {
        within("/options/max_msa/0", clustered.into(), 1, limits.rows as u64)?;
        within("/options/max_msa/1", extra.into(), 0, limits.rows as u64)?;
    }
    if !(-100..=100).contains(&new.priority) {
        return Err(bad("/priority", "-100 to 100", new.priority));
    }
    if let Some(attempts) = new.max_attempts {
        within("/max_attempts", attempts.into(), 1, 20)?;
    }
    within("/templates", new.templates.len() as u64, 0, limits.templates as u64)
        .map_err(|problem| Problem { detail: problem.detail + " templates", ..problem })?;
    name_length("/name", new.name.as_deref())
}

fn name_length(pointer: &str, name: Option<&str>) -> Result<()> {
    match name.map(|name| name.chars().count()) {
        Some(count) if count > 200 => Err(bad(pointer, "at most 200 characters", count)),
        _ => Ok(()),
    }
}

/// The model that is meant.
pub(super) fn model<'a>(name: &str, engine: &'a Engine) -> Result<&'a Model> {
    engine.model(name).ok_or_else(|| {
        let known: Vec<_> = engine.models.iter().map(|model| model.name.as_str()).collect();
        let name: String = name.chars().take(80).collect();
        let detail = format!("options.model: expected `auto` or one of {known:?}, found {name:?}");
        Problem::new(Code::UnknownModel, detail).at("/options/model")
    })
}

/// The sequence, the alignment, and that both fit.
pub(super) fn chain(new: &NewJob, limits: &Limits) -> Result<Chain> {
    let alignment = new.alignment.as_deref().map(|text| alignment(text, limits)).transpose()?;
    let letters = match (&new.sequence, &alignment) {
        (Some(sequence), _) => {
            letters(sequence)?;
            sequence.clone()
        }
        (None, Some((msa, _))) => String::from_utf8_lossy(msa.query()).into_owned(),
        (None, None) => return Err(bad("", "`sequence`, `alignment` or both", "neither")),
    };
    let described = alignment.as_ref().map(|(msa, _)| msa.description(0));
    let name = new.name.as_deref().or(described).unwrap_or("");
    // A name given as such is one word; of a description the first word is the name.
    let name: String = match new.name {
        Some(_) => name.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect(),
        None => name.split_whitespace().next().unwrap_or("").into(),
    };
    let mut target = target(&name, &letters, limits)?;
    if target.sequence.bytes().all(|letter| letter == b'X') {
        let count = target.sequence.len();
        let detail = format!("sequence: expected at least one known residue, found {count} of `X`");
        return Err(Problem::new(Code::BadSequence, detail).at("/sequence"));
    }
    let Some((msa, bytes)) = alignment else {
        return Ok(Chain { name: target.name, sequence: target.sequence, alignment: None });
    };
    let rows = msa.rows() as u32;
    target.attach(msa, "alignment").map_err(|error| of_alignment(&error))?;
    Ok(Chain { name: target.name, sequence: target.sequence, alignment: Some((bytes, rows)) })
}

/// Finds what is no letter before the parser does: its place is then the client's.
fn letters(sequence: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphabetic() || " \t\r\n.-*".contains(c);
    match sequence.chars().enumerate().find(|&(_, c)| !allowed(c)) {
        None => Ok(()),
        Some((at, found)) => {
            let shown =
                if found.is_control() { found.escape_default().to_string() } else { found.to_string() };
            let hint = if found == ':' { "; complexes are not supported yet" } else { "" };
            let detail = format!("sequence:{}: expected an amino-acid letter, found `{shown}`{hint}", at + 1);
            Err(Problem::new(Code::BadSequence, detail).at("/sequence"))
        }
    }
}

fn target(name: &str, letters: &str, limits: &Limits) -> Result<msa::Target> {
    // On one line, so that a column is a place in the sequence.
    let line: String = letters.chars().map(|c| if c.is_ascii_whitespace() { ' ' } else { c }).collect();
    let record = format!(">{name}\n{line}\n");
    let bad = |code, detail: String| Problem::new(code, detail).at("/sequence");
    let targets =
        msa::parse("sequence.fasta", record.as_bytes(), &limits.msa()).map_err(|error| match error {
            msa::Error::Limit { what, limit, .. } => {
                bad(Code::TooLong, format!("sequence: expected at most {limit} {what}, found more"))
            }
            msa::Error::Residue { place, expected, found } => bad(
                Code::BadSequence,
                format!("sequence:{}: expected {expected}, found {found}", place.column),
            ),
            msa::Error::NoSequence { .. } => {
                bad(Code::BadSequence, "sequence: expected at least one residue, found none".into())
            }
            other => bad(Code::BadSequence, other.to_string()),
        })?;
    let mut targets = targets.into_iter();
    match (targets.next(), targets.next()) {
        (Some(target), None) => Ok(target),
        _ => Err(bad(Code::BadSequence, "sequence: expected one chain, found several".into())),
    }
}

/// An alignment, and its bytes as A3M.
fn alignment(text: &str, limits: &Limits) -> Result<(msa::Msa, Vec<u8>)> {
    let limits = limits.msa();
    if text.trim_start_matches('\u{feff}').trim_start().starts_with("# STOCKHOLM") {
        let (msa, _) = msa::stockholm::parse("alignment", text.as_bytes(), &limits)
            .map_err(|error| of_alignment(&error))?;
        let bytes = a3m(&msa);
        return Ok((msa, bytes));
    }
    let (msa, _) =
        msa::a3m::parse("alignment", text.as_bytes(), &limits).map_err(|error| of_alignment(&error))?;
    Ok((msa, text.as_bytes().to_vec()))
}

fn of_alignment(error: &msa::Error) -> Problem {
    let code = match error {
        msa::Error::Limit { .. } => Code::TooLong,
        _ => Code::BadAlignment,
    };
    Problem::new(code, error.to_string()).at("/alignment")
}

/// An alignment as A3M. Which residues were inserted is not kept, only how many: they become `x`.
pub(crate) fn a3m(msa: &msa::Msa) -> Vec<u8> {
    let mut out = Vec::with_capacity(msa.letters().len() + msa.rows() * 24);
    for row in 0..msa.rows() {
        out.push(b'>');
        out.extend_from_slice(msa.description(row).as_bytes());
        out.push(b'\n');
        let mut from = 0;
        for deletion in msa.deletions(row) {
            let column = deletion.column as usize;
            out.extend_from_slice(&msa.row(row)[from..column]);
            out.extend(std::iter::repeat_n(b'x', deletion.count as usize));
            from = column;
        }
        out.extend_from_slice(&msa.row(row)[from..]);
        out.push(b'\n');
    }
    out
}

/// A template that can be read and has its chain; returns its name.
pub(super) fn template(index: usize, template: &NewTemplate, limits: &Limits) -> Result<String> {
    let at = format!("/templates/{index}");
    name_length(&format!("{at}/name"), template.name.as_deref())?;
    let name = template.name.as_deref().unwrap_or("").trim();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = if name.is_empty() { format!("template_{}", index + 1) } else { name };
    let bad =
        |field: &str, detail: String| Problem::new(Code::BadTemplate, detail).at(format!("{at}/{field}"));
    let read = structure::read(template.structure.as_bytes(), None, &limits.structure())
        .map_err(|error| bad("structure", format!("{name}:{error}")))?;
    if let Some(chain) = &template.chain {
        let letters = chain.chars().all(|c| c.is_ascii_alphanumeric()) && (1..=4).contains(&chain.len());
        if !letters {
            let found: String = chain.chars().take(20).collect();
            return Err(bad(
                "chain",
                format!("{name}: expected a chain of 1 to 4 letters and digits, found {found:?}"),
            ));
        }
        if read.chain(chain).is_none() {
            let chains: Vec<_> = read.chains.iter().take(62).map(|chain| chain.id.as_str()).collect();
            return Err(bad(
                "chain",
                format!("{name}: expected one of the chains {chains:?}, found {chain:?}"),
            ));
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(sequence: Option<&str>, alignment: Option<&str>) -> NewJob {
        NewJob {
            sequence: sequence.map(Into::into),
            alignment: alignment.map(Into::into),
            ..NewJob::default()
        }
    }

    #[test]
    fn a_sequence_is_read_as_the_command_line_reads_it() {
        let chain = chain(&new(Some("mkv U-\nL*"), None), &Limits::default()).unwrap();
        assert_eq!((chain.sequence.as_str(), chain.name.as_str()), ("MKVCL", "sequence_1"));
        let named = NewJob { name: Some("a b/../\u{1b}c".into()), ..new(Some("MKV"), None) };
        assert_eq!(super::chain(&named, &Limits::default()).unwrap().name, "a_b_..__c");
    }

    #[test]
    fn a_bad_sequence_is_told_with_its_place() {
        for (sequence, detail) in [
            ("MKV1", "sequence:4: expected an amino-acid letter, found `1`"),
            ("MK:V", "sequence:3: expected an amino-acid letter, found `:`; complexes are not supported yet"),
            ("M\nK\u{e9}", "sequence:4: expected an amino-acid letter, found `é`"),
            (
                "MK*V",
                "sequence:3: expected stops only at the end of a sequence, found `*` before further residues",
            ),
            (" -", "sequence: expected at least one residue, found none"),
            ("xXX", "sequence: expected at least one known residue, found 3 of `X`"),
            ("M>K", "sequence:2: expected an amino-acid letter, found `>`"),
        ] {
            let problem = chain(&new(Some(sequence), None), &Limits::default()).err().unwrap();
            assert_eq!((problem.detail.as_str(), problem.pointer.as_deref()), (detail, Some("/sequence")));
        }
    }

    #[test]
    fn an_alignment_must_be_the_sequence_s() {
        let limits = Limits::default();
        let a3m = ">q first\nMKVL\n>r\nMkkK-L\n";
        let found = chain(&new(None, Some(a3m)), &limits).unwrap();
        assert_eq!((found.name.as_str(), found.sequence.as_str()), ("q", "MKVL"));
        assert_eq!(found.alignment, Some((a3m.as_bytes().to_vec(), 2)));
        let other = chain(&new(Some("MKIL"), Some(a3m)), &limits).err().unwrap();
        assert_eq!(other.code, Code::BadAlignment);
        assert!(other.detail.contains("position 3: expected `I`, found `V`"), "{}", other.detail);
        let short = chain(&new(None, Some(">q\nMKVL\n>r\nMK\n")), &limits).err().unwrap();
        assert!(short.detail.starts_with("alignment:3: row 2"), "{}", short.detail);
        let few = Limits { rows: 1, ..limits };
        assert_eq!(chain(&new(None, Some(a3m)), &few).err().unwrap().code, Code::TooLong);
    }

    #[test]
    fn stockholm_becomes_a3m() {
        let text = "# STOCKHOLM 1.0\nq M.KV\nr MaK-\n//\n";
        let found = chain(&new(None, Some(text)), &Limits::default()).unwrap();
        let (bytes, rows) = found.alignment.unwrap();
        assert_eq!((String::from_utf8(bytes).unwrap().as_str(), rows), (">q\nMKV\n>r\nMxK-\n", 2));
    }
}
