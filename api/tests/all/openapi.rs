//! The description that is served is the one that is committed.

use crate::server::Server;
use jobs::Options;

#[tokio::test]
async fn the_committed_description_is_the_served_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let server = Server::with(|_, _| {}, Options::default()).await;
    let served = server.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    let yaml = yaml_serde::to_string(&served.json()).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &yaml).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == yaml, "api/openapi.yaml differs from what is served; UPDATE=1 writes it anew");
}
