//! Jobs as lines for people.

use super::fetch::shown;
use serde_json::Value;

/// One job in a line: id, state and what belongs to it.
pub fn line(job: &Value) -> String {
    let state = shown(job, "state");
    let more = match state.as_str() {
        "queued" => job["position"].as_u64().map(|n| format!("{n} ahead")),
        "succeeded" => job["result"]["ranking"][0]["mean_plddt"].as_f64().map(|p| format!("plddt {p:.1}")),
        _ => job["reason"]["message"].as_str().map(super::problem::plain),
    };
    let more = more.map_or(String::new(), |more| format!("  {more}"));
    let (id, name, residues) = (shown(job, "id"), shown(job, "name"), shown(job, "residues"));
    format!("{id}  {state:<10}  {residues:>6}  {}  {name}{more}", shown(job, "created"))
}

/// The head of a list of lines.
pub fn table() -> String {
    format!("{:<36}  {:<10}  {:>6}  {:<24}  name", "id", "state", "length", "created")
}
