//! `foldry watch ID`: follows a job of a server to its end.

use crate::client::{Client, Screen, Server, follow};

/// Follow a job of a folding server: a bar on a terminal, plain lines elsewhere; goes on after a cut connection.
#[derive(clap::Args)]
pub struct Args {
    /// The job's id.
    id: String,
    #[command(flatten)]
    server: Server,
    /// Print every event as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Follows until the end; a job that did not succeed is a failure.
pub fn run(args: Args) -> anyhow::Result<()> {
    to_success(&Client::new(&args.server)?, &args.id, &args.id, args.json)
}

/// Follows a job, which lines call `name`; with `json` events go to stdout too.
///
/// # Errors  the job failed or was cancelled; as `client::follow`.
pub fn to_success(client: &Client, id: &str, name: &str, json: bool) -> anyhow::Result<()> {
    let mut screen = Screen::new(name);
    let mut why = None;
    let end = follow(client, id, &mut |event| {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
        if json {
            println!("{}", serde_json::json!({"id": event.id, "event": event.kind, "data": data}));
        }
        if let Some(message) = data["reason"]["message"].as_str() {
            why = Some(message.to_string());
        }
        screen.tell(event);
    })?;
    drop(screen);
    match (end.state.as_str(), why) {
        ("succeeded", _) => Ok(()),
        ("failed", Some(why)) => Err(anyhow::anyhow!("job {id} failed: {why}")),
        (state, _) => Err(anyhow::anyhow!("job {id} ended as {state}")),
    }
}
