//! From a body to an order: everything is checked before anything is stored; blobs are on disk before the job is.

mod check;
mod read;
mod webhook;

pub(crate) use check::a3m;
pub(crate) use read::{json_of, new_batch, new_job};
pub(crate) use webhook::secret;

use crate::app::Server;
use crate::limits::Limits;
use crate::problem::Result;
use crate::shapes::{NewJob, NewWebhook};
use jobs::{Digest, Submission, Submitted};
use work::{Alignment, Engine, Order, Template};

/// A checked job: its order and the bytes that become blobs.
pub(crate) struct Checked {
    order: Order,
    blobs: Vec<Vec<u8>>,
    priority: i32,
    max_attempts: Option<u32>,
    webhook: Option<NewWebhook>,
    /// What decides on the result, if an earlier one may answer.
    content: Option<Digest>,
}

/// Checks a job. Reads whole alignments and structures, so it does not run on a thread that answers requests.
pub(crate) fn check(new: NewJob, engine: &Engine, limits: &Limits) -> Result<Checked> {
    check::numbers(&new, limits)?;
    let model = check::model(&new.options.model, engine)?;
    if let Some(hook) = &new.webhook {
        webhook::check(hook, limits.private_webhooks)?;
    }
    let chain = check::chain(&new, limits)?;
    let mut blobs = Vec::new();
    let alignment = chain.alignment.map(|(bytes, rows)| {
        let alignment = Alignment { sha256: Digest::of(&bytes).to_string(), rows };
        blobs.push(bytes);
        alignment
    });
    let mut templates = Vec::new();
    for (index, template) in new.templates.into_iter().enumerate() {
        let name = check::template(index, &template, limits)?;
        let bytes = template.structure.into_bytes();
        templates.push(Template { name, sha256: Digest::of(&bytes).to_string(), chain: template.chain });
        blobs.push(bytes);
    }
    let mut options = work::Options::from(new.options);
    options.model = model.name.clone();
    let weights_sha256 = model.weights_sha256.clone();
    let order =
        Order { name: chain.name, sequence: chain.sequence, alignment, templates, options, weights_sha256 };
    Ok(Checked {
        content: new.reuse.then(|| order.content(engine)),
        order,
        blobs,
        priority: new.priority,
        max_attempts: new.max_attempts,
        webhook: new.webhook,
    })
}

/// What a job counts against a tenant's residues per day.
fn weight(order: &Order) -> u64 {
    order.sequence.len() as u64 * u64::from(order.options.num_seeds)
}

/// Stores checked jobs, all or none; each with its key, if any.
pub(crate) async fn store(
    server: &Server,
    tenant: &str,
    checked: Vec<(Checked, Option<String>)>,
) -> Result<Vec<Submitted>> {
    server.disk.check()?;
    let mut submissions = Vec::with_capacity(checked.len());
    for (checked, key) in checked {
        let request = serde_json::to_value(&checked.order).expect("an order is JSON");
        let webhook = checked.webhook.map(|hook| serde_json::to_string(&hook).expect("two strings are JSON"));
        let blobs = checked.order.blobs();
        for bytes in checked.blobs {
            server.blobs.put(bytes).await?;
        }
        submissions.push(Submission {
            blobs,
            key,
            priority: checked.priority,
            max_attempts: checked.max_attempts,
            webhook,
            content: checked.content,
            weight: weight(&checked.order),
            ..Submission::new(tenant, request)
        });
    }
    Ok(server.store.submit(submissions).await?)
}
