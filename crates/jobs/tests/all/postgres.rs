//! PostgreSQL: the suite, several servers on one database, and what it refuses.
//! `tests/service/postgres.sh` runs these; without it they are ignored.

use crate::proxy::{Cut, Proxy};
use crate::suite::{Backend, conformance, policy, secs, success};
use jobs::{
    Error, JobStore, ManualClock, Policy, PostgresOptions, PostgresStore, Quotas, Reap, State, Submission,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;

pub const WHY: &str = "expected a URL in FOLDRY_TEST_POSTGRES; tests/service/postgres.sh sets it";

pub fn url() -> String {
    std::env::var("FOLDRY_TEST_POSTGRES").expect(WHY)
}

/// A schema that nobody else uses.
pub fn schema() -> String {
    format!("test_{}", uuid::Uuid::now_v7().simple())
}

struct Postgres {
    url: String,
    schema: String,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: url(), schema: schema() }
    }
}

impl Backend for Postgres {
    type Store = PostgresStore;

    async fn open(&self, policy: Policy, clock: Arc<ManualClock>) -> PostgresStore {
        let schema = self.schema.clone();
        let options = PostgresOptions { policy, clock: Some(clock), schema, ..PostgresOptions::new("one") };
        PostgresStore::open(&self.url, options).await.unwrap()
    }

    async fn close(&self, store: &PostgresStore) {
        store.close().await;
    }
}

conformance!(Postgres, #[ignore = "PostgreSQL: tests/service/postgres.sh"]);

async fn open(server: &str, schema: &str) -> Arc<PostgresStore> {
    let options =
        PostgresOptions { policy: policy(), schema: schema.to_owned(), ..PostgresOptions::new(server) };
    Arc::new(PostgresStore::open(&url(), options).await.unwrap())
}

/// The database as another program sees it.
async fn plainly(schema: &str) -> PgConnection {
    let mut db = PgConnection::connect(&url()).await.unwrap();
    run(&mut db, format!("SET search_path = {schema}")).await;
    db
}

async fn run(db: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(db).await.unwrap();
}

fn keyed(key: &str) -> Submission {
    Submission { key: Some(key.into()), ..Submission::new("ada", json!(1)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn servers_that_start_together_make_one_database() {
    let schema = schema();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..5 {
        let schema = schema.clone();
        tasks.spawn(async move { open(&format!("s{n}"), &schema).await });
    }
    let stores = tasks.join_all().await;
    let job = stores[0].submit(vec![keyed("k")]).await.unwrap().remove(0).job;
    assert_eq!(stores[4].get(job.id).await.unwrap(), job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_key_holds_when_servers_race() {
    let schema = schema();
    let servers = [open("a", &schema).await, open("b", &schema).await];
    for round in 0..10 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..9 {
            let (store, key) = (Arc::clone(&servers[n % 2]), format!("k{round}"));
            // Batches whose keys come in another order.
            let batch = if n % 3 == 0 {
                vec![keyed("other"), keyed(&key)]
            } else {
                vec![keyed(&key), keyed("other")]
            };
            tasks.spawn(async move { (n % 3 == 0, store.submit(batch).await.unwrap()) });
        }
        let answers = tasks.join_all().await;
        let ours: Vec<_> = answers.iter().map(|(turned, jobs)| &jobs[usize::from(*turned)]).collect();
        assert_eq!(ours.iter().filter(|answer| answer.fresh).count(), 1);
        assert!(ours.iter().all(|answer| answer.job.id == ours[0].job.id));
    }
    assert_eq!(servers[0].stats().await.unwrap().jobs[&State::Queued], 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn quotas_hold_when_servers_race() {
    let schema = schema();
    let servers = [open("a", &schema).await, open("b", &schema).await];
    let quotas = Quotas { queued: 7, running: 3, weight_per_day: 100 };
    servers[0].set_quotas("ada", quotas).await.unwrap();
    servers[0].set_quotas("eve", Quotas { queued: 100, ..quotas }).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = Arc::clone(&servers[n % 2]);
        // Of ada seven fit into the queue; of eve six into the day.
        let (tenant, weight) = if n % 4 < 2 { ("ada", 1) } else { ("eve", 16) };
        let asked = Submission { weight, ..Submission::new(tenant, json!(n)) };
        tasks.spawn(async move { (tenant, store.submit(vec![asked]).await) });
    }
    let mut accepted = [0, 0];
    for (tenant, answer) in tasks.join_all().await {
        match answer {
            Ok(_) => accepted[usize::from(tenant == "eve")] += 1,
            Err(Error::Quota { .. } | Error::WeightQuota { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted, [7, 6]);

    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = Arc::clone(&servers[n % 2]);
        tasks.spawn(async move {
            loop {
                match store.claim("w").await {
                    Err(Error::Contended(_)) => {}
                    claim => return claim.unwrap(),
                }
            }
        });
    }
    let claimed = tasks.join_all().await.into_iter().flatten().count();
    assert!(claimed <= 6, "{claimed} run, three of each tenant may");
    // A claimer that met others may have left one for later.
    while servers[0].claim("w").await.unwrap().is_some() {}
    assert_eq!(servers[1].stats().await.unwrap().jobs[&State::Running], 6);
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_boot_ends_its_own_leases_only() {
    let schema = schema();
    let (one, two) = (open("one", &schema).await, open("two", &schema).await);
    one.submit(vec![keyed("a"), keyed("b")]).await.unwrap();
    let (first, second) = (one.claim("w").await.unwrap().unwrap(), two.claim("w").await.unwrap().unwrap());
    let again = open("one", &schema).await;
    assert_eq!(again.reap(Reap::Boot).await.unwrap().requeued, 1);
    assert_eq!(two.get(first.job.id).await.unwrap().state, State::Queued);
    two.finish(second.lease, success()).await.unwrap();
    crate::suite::is_lost(one.finish(first.lease, success()).await);
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn hints_reach_other_servers_also_after_a_broken_connection() {
    let schema = schema();
    let (one, two) = (open("one", &schema).await, open("two", &schema).await);
    let mut heard = two.hints();
    // Of jobs made since it was called.
    let mut hear = async || {
        let mut made = Vec::new();
        for n in 0..600 {
            let key = format!("{}-{n}", uuid::Uuid::now_v7());
            let job = one.submit(vec![keyed(&key)]).await.unwrap().remove(0).job;
            one.cancel(job.id).await.unwrap();
            made.push(job.id);
            while let Ok(Ok(job)) = tokio::time::timeout(Duration::from_millis(100), heard.recv()).await {
                if made.contains(&job) {
                    return;
                }
            }
        }
        panic!("no hint was heard");
    };
    hear().await;
    let mut db = plainly(&schema).await;
    run(
        &mut db,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'foldry' AND query LIKE 'LISTEN%'",
    )
    .await;
    hear().await;
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_row_that_is_locked_from_outside_is_busy() {
    let schema = schema();
    let options =
        PostgresOptions { schema: schema.clone(), patience: secs(4), ..PostgresOptions::new("one") };
    let store = PostgresStore::open(&url(), options).await.unwrap();
    store.submit(vec![keyed("a")]).await.unwrap();
    let claim = store.claim("w").await.unwrap().unwrap();
    let mut db = plainly(&schema).await;
    run(&mut db, "BEGIN; SELECT * FROM jobs FOR UPDATE").await;
    assert!(matches!(store.heartbeat(claim.lease).await, Err(Error::Busy(_))));
    // What does not need that row goes on, the reaper too.
    store.submit(vec![keyed("b")]).await.unwrap();
    assert!(store.reap(Reap::Boot).await.unwrap().is_empty());
    assert_eq!(store.get(claim.job.id).await.unwrap().state, State::Running);
    run(&mut db, "ROLLBACK").await;
    store.heartbeat(claim.lease).await.unwrap();
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_connection_cut_at_the_commit_is_uncertain() {
    let schema = schema();
    let proxy = Proxy::start(&url()).await;
    let options = PostgresOptions {
        schema: schema.clone(),
        patience: secs(5),
        policy: policy(),
        ..PostgresOptions::new("one")
    };
    let store = PostgresStore::open(&proxy.url, options).await.unwrap();
    for (cut, happened) in [(Cut::BeforeCommit, false), (Cut::AfterCommit, true)] {
        let key = format!("{cut:?}");
        proxy.cut(cut);
        let answer = store.submit(vec![keyed(&key)]).await;
        assert!(matches!(answer, Err(Error::Uncertain { what: "submit", .. })), "{cut:?}: {answer:?}");
        // Asked again by key, there is one job, whichever it was.
        let again = store.submit(vec![keyed(&key)]).await.unwrap().remove(0);
        assert_eq!(again.fresh, !happened, "{cut:?}");
        let claim = store.claim("w").await.unwrap().unwrap();
        assert_eq!(claim.job.id, again.job.id);
        proxy.cut(cut);
        let answer = store.finish(claim.lease, success()).await;
        assert!(matches!(answer, Err(Error::Uncertain { what: "finish", .. })), "{cut:?}: {answer:?}");
        let state = store.get(claim.job.id).await.unwrap().state;
        assert_eq!(state, if happened { State::Succeeded } else { State::Running }, "{cut:?}");
        if !happened {
            store.finish(claim.lease, success()).await.unwrap();
        }
    }
    // Before the commit is asked for nothing can have happened, and that is said.
    proxy.cut(Cut::Statement);
    let answer = store.submit(vec![keyed("cut early")]).await;
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
    assert!(store.submit(vec![keyed("cut early")]).await.unwrap()[0].fresh);
    // Nobody holds anything any more.
    assert_eq!(store.stats().await.unwrap().jobs[&State::Succeeded], 2);
}

async fn refusal(url: &str, schema: &str) -> Error {
    let options =
        PostgresOptions { schema: schema.to_owned(), patience: secs(3), ..PostgresOptions::new("one") };
    PostgresStore::open(url, options).await.err().expect("the database to be refused")
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn newer_and_other_databases_are_refused() {
    let schema = schema();
    open("one", &schema).await.close().await;
    let mut db = plainly(&schema).await;
    run(&mut db, "UPDATE foldry_version SET version = 99").await;
    let error = refusal(&url(), &schema).await.to_string();
    assert!(error.ends_with("expected version 1 or older, found version 99 of its tables"), "{error}");

    let other = self::schema();
    run(&mut db, format!("CREATE SCHEMA {other}; CREATE TABLE {other}.recipes (name TEXT)")).await;
    let error = refusal(&url(), &other).await.to_string();
    assert!(error.ends_with("found 1 tables of another program"), "{error}");
    run(&mut db, format!("DROP TABLE {other}.recipes")).await;
    open("one", &other).await;

    let error = refusal(&url(), "x\"; DROP SCHEMA public").await;
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let error = refusal(&url().replace("secret", "guess"), &schema).await.to_string();
    assert!(error.contains("password authentication failed") && !error.contains("guess"), "{error}");
    let error = refusal("postgres://foldry:secret@127.0.0.1:1/postgres", &schema).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().starts_with("postgres://127.0.0.1:1/postgres: connect: "), "{error}");
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_text_with_a_zero_does_not_keep_a_job_from_ending() {
    let store = open("one", &schema()).await;
    store.submit(vec![Submission::new("ada", json!({"name": "a\u{0}b"}))]).await.unwrap();
    let claim = store.claim("w").await.unwrap().unwrap();
    assert_eq!(claim.job.request, json!({"name": "a\u{0}b"}));
    let reason = jobs::Reason::new("bad_input", "found \u{0} here");
    let failed = store.finish(claim.lease, jobs::Outcome::Failed(reason)).await.unwrap();
    assert_eq!(failed.reason.unwrap().message, "found \u{fffd} here");
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn time_is_the_databases() {
    let store = open("one", &schema()).await;
    let mut db = PgConnection::connect(&url()).await.unwrap();
    let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    let before: i64 = sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap();
    let job = store.submit(vec![keyed("a")]).await.unwrap().remove(0).job;
    let after: i64 = sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap();
    assert!((before..=after).contains(&job.created.0));
}
