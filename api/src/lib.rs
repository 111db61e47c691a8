//! The HTTP service: routes over the durable queue.
//!
//! [`serve`] serves the routes of an [`App`], which [`router`] makes, with limits on connections, headers, bodies and
//! slow readers. `docs/service.md` is the contract; the description served at `/openapi.json` is `openapi.yaml`.
//!
//! | Module | What |
//! |---|---|
//! | `routes`, `router` | the routes, one subject a file, and what surrounds each |
//! | `accept`, `shapes` | from a body to an order: everything is checked before anything is stored |
//! | `view` | jobs as clients see them |
//! | `code`, `problem` | one table of errors, and how they are written |
//! | `body`, `budget` | bodies, with limits of size, time, ratio and memory |
//! | `follow`, `stream`, `send`, `zip` | waiting for changes, and bodies that are made while they are sent |
//! | `caller`, `keys`, `rate` | who asks, and how often |
//! | `trace` | a span of each request, for a collector |
//! | `webhooks` | telling others that a job ended |
//! | `drop_in` | routes of other services |
//! | `page` | the page, embedded |
//!
//! **Invariant:** knows no tensors and folds nothing; what it accepts is in the store before it answers.

mod accept;
mod app;
mod body;
mod budget;
mod caller;
mod code;
mod disk;
mod drop_in;
mod follow;
pub mod keys;
mod limits;
mod metrics;
mod negotiate;
mod object;
mod openapi;
mod page;
mod problem;
mod range;
mod rate;
mod router;
mod routes;
mod send;
mod serve;
mod shapes;
mod stall;
mod stream;
mod trace;
mod view;
mod webhooks;
mod zip;

pub use app::App;
pub use code::Code;
pub use keys::Keys;
pub use limits::Limits;
pub use metrics::{Metered, Metrics};
pub use openapi::document;
pub use problem::ProblemBody;
pub use router::router;
pub use serve::{serve, serve_router};
pub use shapes::{Inputs, NewBatch, NewJob, NewOptions, NewTemplate, NewWebhook};
pub use view::{Batch, JobList, JobView, Links, ReasonView};
pub use webhooks::send_webhooks;
