//! Bodies for `POST /v1/jobs`, and keys that make repeated commands one job.

use crate::failure::bad_input;
use crate::intake::{Asked, Given};
use msa::Target;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What the command line asks for; it goes before what a job file says.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Model of the server.
    pub model: Option<String>,
    /// Recycles after the first pass.
    pub recycles: Option<u64>,
    /// The first seed.
    pub seed: Option<u64>,
    /// Predictions, with consecutive seeds.
    pub num_seeds: Option<u64>,
    /// Alignment rows at most, clustered and extra.
    pub max_msa: Option<(usize, usize)>,
    /// Place in the queue.
    pub priority: Option<i32>,
    /// Structures for all targets, after those of the job files.
    pub templates: Vec<Given>,
}

/// The body of one job.
///
/// # Errors  bad input: what the service has no word for.
pub fn body(target: &Target, asked: Option<&Asked>, wishes: &Wishes) -> anyhow::Result<Value> {
    let none = Asked::default();
    let asked = asked.unwrap_or(&none);
    let said = &asked.options;
    let mut options = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        value.map(|value| options.insert(key.to_string(), value));
    };
    put("model", wishes.model.clone().or_else(|| said.model.clone()).map(Value::from));
    put("recycles", wishes.recycles.or(said.recycles.map(u64::from)).map(Value::from));
    put("recycle_tolerance", said.recycle_tolerance.map(Value::from));
    put("seed", wishes.seed.or(asked.seeds.map(|s| s.first)).map(Value::from));
    put("num_seeds", wishes.num_seeds.or(asked.seeds.map(|s| s.count.into())).map(Value::from));
    let rows = said.max_msa.map(|(c, e)| json!([c, e]));
    put("max_msa", wishes.max_msa.map(|(c, e)| json!([c, e])).or(rows));
    let mut job = json!({"name": target.name, "sequence": target.sequence});
    if let Some(msa) = target.msa.as_ref().filter(|msa| msa.rows() > 1) {
        job["alignment"] = msa::a3m::write(msa).into();
    }
    let templates = asked.templates.iter().chain(&wishes.templates).map(template);
    let templates = templates.collect::<anyhow::Result<Vec<_>>>()?;
    if !templates.is_empty() {
        job["templates"] = templates.into();
    }
    if !options.is_empty() {
        job["options"] = options.into();
    }
    let rest = [
        ("priority", wishes.priority.or(said.priority).map(Value::from)),
        ("max_attempts", said.max_attempts.map(Value::from)),
        ("reuse", said.reuse.map(Value::from)),
        ("webhook", said.webhook.as_ref().map(|hook| json!({"url": hook.url, "secret": hook.secret}))),
    ];
    for (key, value) in rest {
        if let Some(value) = value {
            job[key] = value;
        }
    }
    Ok(job)
}

fn template(given: &Given) -> anyhow::Result<Value> {
    let Given { place, name, bytes, chain, mapping } = given;
    if mapping.is_some() {
        let what = "a template with its own mapping of residues cannot be sent to a server yet";
        return Err(bad_input(format!("{place}: {what}; foldry fold takes it")));
    }
    let structure = std::str::from_utf8(bytes)
        .map_err(|_| bad_input(format!("{place}: expected a structure as UTF-8 text, found other bytes")))?;
    let mut template = json!({"name": name, "structure": structure});
    if let Some(chain) = chain {
        template["chain"] = chain.clone().into();
    }
    Ok(template)
}

/// The idempotency key of a body: its content, so that the same command makes one job; `again` makes it another.
pub fn key(body: &[u8], again: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(body);
    if let Some(again) = again {
        hash.update([0]);
        hash.update(again);
    }
    let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("foldry-submit-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_job_file() {
        let text = b">q\nMKVLA\n>b\nM-abVLA\n";
        let target = msa::parse("t.a3m", text, &msa::Limits::default()).unwrap().remove(0);
        let mut asked = Asked { seeds: Some(jobfile::Seeds { first: 7, count: 3 }), ..Asked::default() };
        asked.options.model = Some("model_1".into());
        let wishes = Wishes { seed: Some(9), priority: Some(-2), max_msa: Some((8, 4)), ..Wishes::default() };
        let made = body(&target, Some(&asked), &wishes).unwrap();
        let expected = json!({"name": "t", "sequence": "MKVLA", "alignment": ">q\nMKVLA\n>b\nM-xxVLA\n", "priority": -2,
            "options": {"model": "model_1", "seed": 9, "num_seeds": 3, "max_msa": [8, 4]}});
        assert_eq!(made, expected);
        let bare = msa::parse("t.fasta", b">t\nMK\n", &msa::Limits::default()).unwrap().remove(0);
        assert_eq!(body(&bare, None, &Wishes::default()).unwrap(), json!({"name": "t", "sequence": "MK"}));
        asked.templates = vec![Given {
            place: "j.json: /0/templates/0".into(),
            name: "x".into(),
            bytes: b"data_x".to_vec(),
            chain: None,
            mapping: Some(vec![(0, 0)]),
        }];
        let error = body(&target, Some(&asked), &wishes).unwrap_err().to_string();
        assert!(error.starts_with("j.json: /0/templates/0: a template with its own mapping"), "{error}");
    }

    #[test]
    fn the_same_content_has_the_same_key() {
        assert_eq!(key(b"a", None), key(b"a", None));
        assert_ne!(key(b"a", None), key(b"b", None));
        assert_ne!(key(b"a", Some("1")), key(b"a", Some("2")));
        assert!(key(b"a", None).bytes().all(|b| b.is_ascii_graphic()) && key(b"a", None).len() < 100);
    }
}
