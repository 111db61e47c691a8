//! Traces for an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! A [`Span`] is begun, gets attributes, and is sent when it is ended. [`Spans`] is where they go: to a bounded queue that
//! a thread of its own sends in batches, or nowhere. Ending a span never waits: one that finds the queue full, or whose
//! batch the collector did not take, is dropped and counted.
//!
//! **Invariant:** attributes have names known when the program is built; whoever adds one answers for its value holding
//! no key, no secret and no sequence.

mod context;
mod json;
mod sender;
mod span;

pub use context::Context;
pub use sender::{Endpoint, EndpointError, Spans};
pub use span::{Kind, Span, Value};
