//! Results: forms, parts, conditions, archives.

use crate::server::{Server, large};
use jobs::{Digest, Options, Policy, Reap};
use serde_json::json;
use std::io::Read;
use std::time::Duration;

#[tokio::test]
async fn a_result_has_four_forms() {
    let server = Server::start().await;
    let id = server.done("t1").await;
    let path = format!("/v1/jobs/{id}/result");
    let plain = server.get(&path).await;
    assert_eq!((plain.status.as_u16(), plain.header("content-type")), (200, "chemical/x-pdb"));
    assert_eq!(plain.header("etag"), format!("\"{}\"", Digest::of(&plain.body)));
    assert!(plain.text().starts_with("ATOM "));
    assert!(plain.header("content-disposition").contains("t1_rank_001.pdb"));
    let tag = plain.header("etag");
    assert_eq!(server.get_with(&path, &[("if-none-match", tag)]).await.status, 304);

    let form = async |kind: &str| server.get_with(&path, &[("accept", kind)]).await;
    let cif = form("chemical/x-mmcif").await;
    assert_eq!((cif.header("content-type"), cif.text().as_str()), ("chemical/x-mmcif", "data_t1\n#\n"));
    let product = form("application/json").await.json();
    assert_eq!(product["ranking"][0]["mean_plddt"], 71.25);
    assert_eq!(form("text/html").await.problem().1, "not_acceptable");
    assert_eq!(server.get(&format!("{path}?rank=2")).await.problem().1, "not_found");

    let zip = form("application/zip").await;
    assert_eq!(zip.header("content-type"), "application/zip");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&zip.body)).unwrap();
    assert_eq!(archive.len(), product["files"].as_array().unwrap().len());
    for item in product["files"].as_array().unwrap() {
        let mut bytes = Vec::new();
        let name = format!("t1/{}", item["name"].as_str().unwrap());
        // Reading compares the checksum.
        archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), item["sha256"].as_str().unwrap(), "{name}");
    }
    assert!(archive.by_name("t1/large.bin").unwrap().size() > 4 << 20);
    let again = form("application/zip").await;
    assert_eq!((again.header("etag"), again.body == zip.body), (zip.header("etag"), true));
}

#[tokio::test]
async fn files_are_sent_in_parts() {
    let server = Server::start().await;
    let id = server.done("t1").await;
    let (path, whole) = (format!("/v1/jobs/{id}/files/large.bin"), large());
    let answer = server.get(&path).await;
    assert!(answer.body == whole && answer.header("content-length") == whole.len().to_string());
    let part = server.get_with(&path, &[("range", "bytes=1000000-1099999")]).await;
    assert_eq!(part.status, 206);
    assert!(part.body == whole[1_000_000..1_100_000]);
    assert_eq!(part.header("content-range"), format!("bytes 1000000-1099999/{}", whole.len()));
    // A part of a JSON text is no JSON.
    let json = format!("/v1/jobs/{id}/files/rank_001.scores.json");
    assert_eq!(server.get_with(&json, &[("range", "bytes=0-3")]).await.status, 200);
    let last = server.get_with(&path, &[("range", "bytes=-5"), ("if-range", answer.header("etag"))]).await;
    assert!(last.status == 206 && last.body == whole[whole.len() - 5..]);
    let other = server.get_with(&path, &[("range", "bytes=-5"), ("if-range", "\"x\"")]).await;
    assert_eq!((other.status.as_u16(), other.body.len()), (200, whole.len()));
    let outside = server.get_with(&path, &[("range", "bytes=99999999-")]).await;
    assert_eq!(outside.problem().1, "range_not_satisfiable");
    assert_eq!(outside.header("content-range"), format!("bytes */{}", whole.len()));

    let report = server.get(&format!("/v1/jobs/{id}/files/report.html")).await;
    assert!(report.header("content-security-policy").contains("sandbox"));
    assert_eq!(server.get(&format!("/v1/jobs/{id}/files/..%2Fjobs.db")).await.problem().1, "not_found");
}

#[tokio::test]
async fn what_has_no_result_says_why() {
    let server = Server::start().await;
    let held = server.submit("hold").await;
    let unfinished = server.get(&format!("/v1/jobs/{held}/result")).await;
    assert_eq!(unfinished.problem().1, "not_finished");
    let failed = server.submit("fail").await;
    let job = server.reach(&failed, "failed").await;
    assert_eq!(job["reason"], json!({"code": "bad_input", "message": "made to fail"}));
    let answer = server.get(&format!("/v1/jobs/{failed}/result")).await;
    assert_eq!(answer.problem(), (409, "no_result".into(), String::new()));
    assert!(answer.text().contains("made to fail"));
}

#[tokio::test]
async fn what_expired_is_gone() {
    let policy = Policy { retention: Duration::ZERO, ..Policy::default() };
    let mut server = Server::with(|_, _| {}, Options { policy, ..Options::default() }).await;
    server.work();
    let id = server.done("t1").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    while !server.store.reap(Reap::Expired).await.unwrap().is_empty() {}
    let job = server.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(
        (&job["expired"], &job["sequence"], &job["state"]),
        (&json!(true), &json!(null), &json!("succeeded"))
    );
    for part in ["result", "files/report.html", "events", "alignment", "input"] {
        assert_eq!(server.get(&format!("/v1/jobs/{id}/{part}")).await.problem().1, "expired", "{part}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_sent() {
    let server = Server::start().await;
    let id = server.done("t1").await;
    let product =
        server.get_with(&format!("/v1/jobs/{id}/result"), &[("accept", "application/json")]).await.json();
    let sha256: Digest = product["files"][0]["sha256"].as_str().unwrap().parse().unwrap();
    let path = server.blobs.path(sha256).expect("blobs are in a folder");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(server.get(&format!("/v1/jobs/{id}/result")).await.problem().1, "internal");
}
