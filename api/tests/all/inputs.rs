//! Input files as jobs.

use crate::server::{Answer, Server};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::json;

async fn send(server: &Server, name: &str, bytes: impl Into<Body>) -> Answer {
    server.ask(Request::post(format!("/v1/inputs?name={name}")).body(bytes.into()).unwrap()).await
}

#[tokio::test]
async fn every_format_becomes_bodies_that_are_accepted() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let fasta = ">one\nMKVL\n>two words\nmkvaU\n";
    let packed = zstd::encode_all(fasta.as_bytes(), 3).unwrap();
    for answer in [send(&server, "t.fasta", fasta).await, send(&server, "t.fasta.zst", packed).await] {
        let inputs = answer.json();
        assert_eq!(
            inputs["jobs"],
            json!([{"name": "one", "sequence": "MKVL", "options": inputs["jobs"][0]["options"]},
            {"name": "two", "sequence": "MKVAC", "options": inputs["jobs"][0]["options"]}])
        );
        assert!(inputs["notes"].to_string().contains("lower-case"), "{}", inputs["notes"]);
    }
    let sto = send(&server, "x.sto", "# STOCKHOLM 1.0\nq MKV\nr M-V\n//\n").await.json();
    assert_eq!(sto["jobs"][0]["alignment"], ">q\nMKV\n>r\nM-V\n");
    for job in sto["jobs"].as_array().unwrap() {
        assert_eq!(server.post("/v1/jobs", job.clone()).await.status, 202);
    }
    let bad = send(&server, "t.fasta", ">one\nMK1\n").await;
    assert_eq!(bad.problem().1, "bad_input");
    assert!(bad.text().contains("t.fasta:2:3"), "{}", bad.text());
    assert_eq!(send(&server, "t.fasta", "").await.problem().1, "bad_input");
}

#[tokio::test]
async fn job_files_of_other_programs_are_read() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let chain = json!({"proteinChain": {"sequence": "MKVL", "count": 1}});
    let file = json!([{"name": "one", "modelSeeds": ["3", "4"], "sequences": [chain], "dialect": "alphafoldserver",
        "version": 1}]);
    let inputs = send(&server, "jobs.json", file.to_string()).await.json();
    let job = &inputs["jobs"][0];
    assert_eq!((&job["name"], &job["sequence"]), (&json!("one"), &json!("MKVL")));
    assert_eq!((&job["options"]["seed"], &job["options"]["num_seeds"]), (&json!(3), &json!(2)));
    assert_eq!(server.post("/v1/batches", json!({"jobs": inputs["jobs"]})).await.status, 202);

    let two = json!({"name": "c", "sequences": [{"protein": {"id": ["A", "B"], "sequence": "MKVL"}}], "modelSeeds": [1],
        "dialect": "alphafold3", "version": 1});
    let complex = send(&server, "jobs.json", two.to_string()).await;
    assert_eq!(complex.problem().1, "bad_input");
    assert!(complex.text().contains("complexes"), "{}", complex.text());
    let boltz =
        "version: 1\nsequences:\n  - protein:\n      id: A\n      sequence: MKVL\n      msa: /etc/passwd\n";
    let path = send(&server, "b.yaml", boltz).await;
    assert_eq!(path.problem().1, "bad_input");
    assert!(path.text().contains("found the path"), "{}", path.text());
}
