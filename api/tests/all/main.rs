//! The service over a real store in a temporary folder, with a worker that folds nothing.

mod accept;
mod drop_in;
mod errors;
mod events;
mod http;
mod inputs;
mod keys;
mod logs;
mod openapi;
mod page;
mod results;
mod server;
mod traces;
mod webhooks;
