//! What a job store does, in the SQL that SQLite and PostgreSQL share: one text of every rule for both.
//!
//! An operation (a file each) sees a [`Turn`]: the open transaction, the time and the policy. How a transaction is begun,
//! committed and tried again is the backends' business. Parameters are `$1`, `$2` …, which both know. Where
//! several servers write at once, an operation says which rows and tenants it wants for itself ([`Lock`], [`Hold`]);
//! SQLite, where one task writes, has nothing to do there.

mod claim;
mod db;
mod finish;
mod operation;
mod outbox;
mod progress;
mod quota;
mod read;
mod reap;
mod rows;
mod submit;
mod tables;
mod turn;
mod value;

pub(crate) use claim::ClaimOne;
pub(crate) use db::{Db, Flavour, Hold, Lock};
pub(crate) use finish::{Cancel, Finish, GiveBack};
pub(crate) use operation::Operation;
pub(crate) use outbox::{Delivered, Deliveries, Ping, SetQuotas};
pub(crate) use progress::{Append, Heartbeat};
pub(crate) use read::{events, get, list, position, stats, unreferenced};
pub(crate) use reap::Reaper;
pub(crate) use rows::Row;
pub(crate) use submit::Submit;
pub(crate) use tables::{STEPS, for_postgres};
pub(crate) use turn::Turn;
pub(crate) use value::Value;
