//! Follows a job to its end: lines, or a bar on a terminal; comes back after a cut where it was.

use super::events::{Event, Events};
use super::http::{Client, Failure};
use super::path;
use super::problem::plain;
use crate::machine::duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;
use ureq::http::Method;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `succeeded`, `failed` or `cancelled`.
    pub state: String,
}

/// Connections in a row that may bring nothing.
const IDLE: u32 = 12;
/// The longest wait between them.
const LONGEST: Duration = Duration::from_secs(30);

/// Follows a job from its first event to its end; `told` gets every event once.
///
/// # Errors  no such job; a server that stays away.
pub fn follow(client: &Client, id: &str, told: &mut dyn FnMut(&Event)) -> anyhow::Result<End> {
    let path = path(id, "/events")?;
    let (mut last, mut idle) = (0u64, 0u32);
    loop {
        let known = last.to_string();
        let mut headers = vec![("accept", "text/event-stream")];
        if last > 0 {
            headers.push(("last-event-id", &known));
        }
        let (mut retry, mut heard) = (None, false);
        let why = match client.once(&Method::GET, &path, &headers, None) {
            Ok(mut answer) => {
                let mut events = Events::new(answer.body_mut().as_reader());
                loop {
                    match events.next() {
                        Ok(Some(event)) => {
                            retry = events.retry;
                            if event.kind == "end" {
                                told(&event);
                                return Ok(End { state: state(&event.data) });
                            }
                            // A server that begins anew after a cut tells nothing twice.
                            match event.id {
                                Some(id) if id <= last => continue,
                                Some(id) => last = id,
                                None => {}
                            }
                            heard = true;
                            told(&event);
                        }
                        Ok(None) => break "the connection was cut".to_string(),
                        Err(error) => break plain(&error.to_string()),
                    }
                }
            }
            Err(Failure::Problem(problem)) if !problem.is_passing() && problem.status < 500 => {
                return Err(problem.error());
            }
            Err(failure) => failure.error().to_string(),
        };
        idle = if heard { 1 } else { idle + 1 };
        if idle > IDLE {
            let again = format!("foldry watch {id} goes on from here; the job itself is not touched");
            return Err(anyhow::anyhow!("{}: {why}; {again}", client.base()));
        }
        let first = retry.unwrap_or(client.patience).min(client.patience * 4);
        let wait = (first * 2u32.pow((idle - 1).min(8))).min(LONGEST);
        if idle > 1 {
            eprintln!("NOTE  {why}; trying again in {:.0} s", wait.as_secs_f64().ceil());
        }
        std::thread::sleep(wait);
    }
}

fn state(data: &str) -> String {
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    plain(data["state"].as_str().unwrap_or("unknown"))
}

/// Tells people of events, on stderr.
pub struct Screen {
    job: String,
    bar: Option<ProgressBar>,
}

impl Screen {
    /// `job` is what lines call it.
    pub fn new(job: &str) -> Self {
        Self { job: plain(job), bar: None }
    }

    /// One event.
    pub fn tell(&mut self, event: &Event) {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        match event.kind.as_str() {
            "block" => return self.block(&data),
            "end" => self.clear(),
            _ => {}
        }
        if let Some(line) = words(&self.job, &event.kind, &data) {
            match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("{line}")),
                None => eprintln!("{line}"),
            }
        }
    }

    fn block(&mut self, data: &Value) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let number = |key: &str| data[key].as_u64().unwrap_or(0);
        let (pass, passes, blocks) = (number("pass"), number("passes"), number("blocks"));
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        bar.set_message(format!("{} pass {pass}/{passes}", self.job));
        bar.set_length(passes.saturating_mul(blocks));
        bar.set_position(pass.saturating_sub(1).saturating_mul(blocks).saturating_add(number("block")));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A line for an event, where it has one.
fn words(job: &str, kind: &str, data: &Value) -> Option<String> {
    let text = |key: &str| plain(data[key].as_str().unwrap_or("?"));
    let real = |key: &str| data[key].as_f64();
    Some(match kind {
        "state" => {
            let why = data["reason"]["message"].as_str().or(data["message"].as_str());
            let why = why.map_or(String::new(), |why| format!(" reason={:?}", plain(why)));
            format!("INFO job.state job={job} state={}{why}", text("state"))
        }
        "stage" => format!("INFO job.stage job={job} stage={}", text("stage")),
        "note" => format!("NOTE  {job}: {}", text("text")),
        "plan" => {
            let time = real("seconds").map_or(String::new(), |s| format!(" time={}", duration(s)));
            format!("INFO job.plan job={job} memory={:.1}GB{time}", real("bytes").unwrap_or(0.0) / 1e9)
        }
        "coverage" => {
            let rows = data["rows"].as_u64().unwrap_or(0);
            format!("INFO job.coverage job={job} rows={rows} neff={:.0}", real("neff").unwrap_or(0.0))
        }
        "pass" => {
            let number = |key: &str| data[key].as_u64().unwrap_or(0);
            let ptm = real("ptm").map_or(String::new(), |ptm| format!(" ptm={ptm:.3}"));
            format!(
                "INFO job.pass job={job} seed={} pass={}/{} plddt={:.1}{ptm} secs={:.1}",
                number("seed"),
                number("pass"),
                number("passes"),
                real("mean_plddt").unwrap_or(0.0),
                real("seconds").unwrap_or(0.0)
            )
        }
        "end" => format!("INFO job.end job={job} state={}", text("state")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake};
    use super::*;

    const STAGE: &str = "id: 1\nevent: stage\ndata: {\"stage\":\"network\"}\n\n";

    #[test]
    fn a_cut_is_gone_on_from_the_last_event() {
        let fake = Fake::new(vec![
            Answer::events(&format!("retry: 10\n\n{STAGE}id: 2\nevent: note\ndata: {{\"te")),
            Answer::problem(503, r#"{"code": "closing", "detail": "stopping"}"#),
            // A server that starts over: what is known is told once.
            Answer::events(&format!(
                "{STAGE}id: 2\nevent: note\ndata: {{\"text\":\"x\"}}\n\nid: 2\nevent: end\ndata: {{\"state\":\"succeeded\"}}\n\n"
            )),
        ]);
        let mut told = Vec::new();
        let end = follow(&fake.client(), "0a-1", &mut |e| told.push(e.kind.clone())).unwrap();
        assert_eq!(end.state, "succeeded");
        assert_eq!(told, ["stage", "note", "end"]);
        let asked = fake.requests();
        assert!(
            !asked[0].contains("last-event-id") && asked[2].contains("last-event-id: 1\r\n"),
            "{asked:?}"
        );
        assert!(asked[0].starts_with("GET /v1/jobs/0a-1/events "), "{asked:?}");
    }

    #[test]
    fn what_will_not_change_ends_at_once() {
        let fake = Fake::new(vec![Answer::problem(404, r#"{"code": "not_found", "detail": "no such job"}"#)]);
        let error = follow(&fake.client(), "0a", &mut |_| ()).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), crate::failure::code(&error)),
            ("no such job (not_found)", 2)
        );
        assert!(follow(&fake.client(), "../x", &mut |_| ()).is_err());
        // Nobody answers any more.
        let error = follow(&fake.client(), "0b", &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("foldry watch 0b goes on"), "{error}");
        assert_eq!(crate::failure::code(&error), 1);
    }

    #[test]
    fn events_have_lines() {
        let line = |kind: &str, data: &str| words("t", kind, &serde_json::from_str(data).unwrap());
        let pass = r#"{"seed":0,"pass":2,"passes":4,"mean_plddt":81.26,"ptm":0.5,"seconds":3.04}"#;
        assert_eq!(
            line("pass", pass).unwrap(),
            "INFO job.pass job=t seed=0 pass=2/4 plddt=81.3 ptm=0.500 secs=3.0"
        );
        assert_eq!(line("note", r#"{"text":"a\u001b[2Jb"}"#).unwrap(), "NOTE  t: a [2Jb");
        assert_eq!(line("new_kind", "{}"), None);
    }
}
