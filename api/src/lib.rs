//! The HTTP service: routes over the durable queue.
//!
//! **Invariant:** knows no tensors and folds nothing; what it accepts is in the store before it answers.
