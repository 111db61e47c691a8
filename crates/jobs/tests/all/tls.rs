//! TLS to PostgreSQL. `tests/service/postgres.sh` runs these against a server with a certificate for 127.0.0.1.

use crate::postgres::{WHY, schema, url};
use jobs::{Error, JobStore, PostgresOptions, PostgresStore};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The server's URL with another way of TLS; `{}` is the folder of certificates.
fn with(tls: &str) -> String {
    let folder = std::env::var("FOLDRY_TEST_POSTGRES_CA").expect(WHY);
    let url = url();
    let (server, _) = url.split_once('?').expect("the test server's URL says sslmode=disable");
    format!("{server}?{}", tls.replace("{}", &folder))
}

/// Whether the store's own connections are encrypted, as the server says.
async fn encrypted(tls: &str) -> Vec<bool> {
    let schema = schema();
    let options = PostgresOptions { connections: 3, ..PostgresOptions::new(&schema) };
    let options = PostgresOptions { schema: schema.clone(), ..options };
    let store = PostgresStore::open(&with(tls), options).await.unwrap();
    store.ping().await.unwrap();
    // One of its connections waits for hints on a channel that is named after its schema.
    let mut db = PgConnection::connect(&url()).await.unwrap();
    let sql =
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE query LIKE '%' || $1 || '%'
               AND pid <> pg_backend_pid() AND application_name = 'foldry'";
    let mut all = Vec::new();
    for _ in 0..200 {
        all = sqlx::query_scalar(sql).bind(&schema).fetch_all(&mut db).await.unwrap();
        if !all.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    store.close().await;
    all
}

/// Of a connection of our own: what the server says of it.
async fn own(tls: &str) -> bool {
    let mut db = PgConnection::connect(&with(tls)).await.unwrap();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap()
}

async fn refused(tls: &str) -> Error {
    let options = PostgresOptions { schema: schema(), ..PostgresOptions::new("one") };
    match PostgresStore::open(&with(tls), options).await {
        Ok(_) => panic!("{tls}: expected a refusal, found an open store"),
        Err(error) => error,
    }
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_verified_connection_is_encrypted_and_disable_is_plain() {
    for (tls, wanted) in [
        ("sslmode=verify-full&sslrootcert={}/ca.pem", true),
        ("sslmode=verify-ca&sslrootcert={}/ca.pem", true),
        ("sslmode=require", true),
        ("sslmode=disable", false),
    ] {
        assert_eq!(own(tls).await, wanted, "{tls}");
        let all = encrypted(tls).await;
        assert!(!all.is_empty() && all.iter().all(|found| *found == wanted), "{tls}: {all:?}");
    }
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_server_of_another_authority_or_name_is_refused() {
    for tls in [
        "sslmode=verify-full&sslrootcert={}/other.pem",
        "sslmode=verify-ca&sslrootcert={}/other.pem",
        "sslmode=verify-full",
    ] {
        let error = refused(tls).await;
        assert!(matches!(error, Error::Untrusted { .. }), "{tls}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("UnknownIssuer") && text.contains("sslrootcert"), "{text}");
        assert!(text.starts_with("postgres://127.0.0.1:") && !text.contains("secret"), "{text}");
    }
    // The certificate is for the address alone. `localhost` is the same server, but not the same name.
    let named = with("sslmode=verify-full&sslrootcert={}/ca.pem").replace("@127.0.0.1:", "@localhost:");
    let options = PostgresOptions { schema: schema(), ..PostgresOptions::new("one") };
    let error = PostgresStore::open(&named, options).await.err().expect("another name is refused");
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_if_it_is_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut wish = [0; 8];
        client.read_exact(&mut wish).await.unwrap();
        // How PostgreSQL says that it has no TLS. Nothing else may come, a password least of all.
        client.write_all(b"N").await.unwrap();
        let mut more = Vec::new();
        client.read_to_end(&mut more).await.unwrap();
        (wish, more)
    });
    let url = format!("postgres://foldry:secret@{address}/d?sslmode=require");
    let error =
        PostgresStore::open(&url, PostgresOptions::new("one")).await.err().expect("no TLS is refused");
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("does not support TLS"), "{error}");
    let (wish, more) = server.await.unwrap();
    assert_eq!((&wish[4..], more.len()), (&[0x04, 0xd2, 0x16, 0x2f][..], 0));
}
