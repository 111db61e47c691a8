//! The page that is part of the program.

use crate::server::Server;

#[tokio::test]
async fn the_page_is_served_under_its_own_addresses() {
    let server = Server::start().await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    for path in ["/jobs", "/jobs/0199a1b2-0000-7000-8000-000000000000", "/index.html"] {
        assert!(server.get(path).await.body == page.body, "{path}");
    }
    for path in ["/jobs/a/b", "/../Cargo.toml", "/assets/none.js", "/v1", "/v1/job"] {
        assert_eq!(server.get(path).await.problem().1, "not_found", "{path}");
    }
    let packed = server.get_with("/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), if page.header("etag").is_empty() { "" } else { "gzip" });
    if page.header("content-type").starts_with("text/html") {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && policy.contains("default-src 'none'"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-cache");
        let known = server.get_with("/", &[("if-none-match", page.header("etag"))]).await;
        assert_eq!(known.status, 304);
    }
}
