//! Routes of other services.

use crate::server::{Answer, SEQUENCE, Server};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const NIM: &str = "/biology/openfold/openfold2/predict-structure-from-msa-and-template";

async fn esm(server: &Server, kind: &str, sequence: &str) -> Answer {
    let request = Request::post(format!("/foldSequence/v1/{kind}/"))
        .header("content-type", "application/x-www-form-urlencoded");
    server.ask(request.body(Body::from(sequence.to_owned())).unwrap()).await
}

#[tokio::test]
async fn an_esmfold_client_gets_a_structure() {
    let server = Server::start().await;
    let pdb = esm(&server, "pdb", SEQUENCE).await;
    assert!(
        pdb.status == 200 && pdb.text().starts_with("ATOM ") && pdb.text().contains("71.25"),
        "{}",
        pdb.text()
    );
    assert_eq!(esm(&server, "cif", &format!("{SEQUENCE}\n")).await.text(), "data_esm\n#\n");
    assert_eq!(esm(&server, "pdb", &"A".repeat(401)).await.problem().0, 413);
    assert_eq!(esm(&server, "pdb", "MK1").await.problem(), (422, "bad_sequence".into(), String::new()));
    assert_eq!(esm(&server, "pdb", "").await.problem().1, "bad_sequence");
}

#[tokio::test]
async fn a_nim_client_gets_what_it_knows() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/health/ready").await.json(), json!(true));
    let alignment = format!(">query\n{SEQUENCE}\n>a\n{SEQUENCE}\n");
    let body = json!({"sequence": SEQUENCE, "input_id": "x", "selected_models": [1, 2], "relax_prediction": false,
        "alignments": {"uniref90": {"a3m": {"alignment": alignment, "format": "a3m"}}}});
    let answer = server.post(NIM, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        (&answer["input_id"], &answer["of2_nim_handled_error_message"]),
        (&json!("x"), &json!("no-handled-error"))
    );
    let structure = &answer["structures_in_ranked_order"][0];
    assert!(structure["structure"].as_str().unwrap().starts_with("ATOM "));
    assert_eq!((&structure["confidence"], &structure["ptm_score"]), (&json!(71.25), &json!(0.5)));
    assert_eq!(structure["plddt"].as_array().unwrap().len(), SEQUENCE.len());
    assert_eq!(structure["predicted_aligned_error"][3][5], 1.5);
    assert_eq!(server.get("/v1/jobs").await.json()["jobs"][0]["msa_rows"], 2);

    let failed = server.post(NIM, json!({"sequence": SEQUENCE, "input_id": "fail"})).await.json();
    assert_eq!(failed["of2_nim_handled_error_message"], "bad_input: made to fail");
    assert_eq!(failed["structures_in_ranked_order"], json!([]));
    assert_eq!(server.post(NIM, json!({"input_id": "x"})).await.problem().1, "bad_field");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel() {
    let mut server = Server::with(|_, _| {}, Options::default()).await;
    let (address, _stop, _) = server.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /foldSequence/v1/pdb/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{SEQUENCE}",
        SEQUENCE.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let job = loop {
        let jobs: Value = server.get("/v1/jobs").await.json();
        match jobs["jobs"][0]["id"].as_str() {
            Some(id) => break id.to_owned(),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.work();
    server.reach(&job, "succeeded").await;
}

#[tokio::test]
async fn waiting_has_an_end() {
    let short = |app: &mut api::App, _: &std::path::Path| app.limits.drop_in_wait = Duration::from_millis(50);
    let mut server = Server::with(short, Options::default()).await;
    let answer = esm(&server, "pdb", SEQUENCE).await;
    assert_eq!(answer.problem(), (504, "waited_too_long".into(), String::new()));
    let id = server.get("/v1/jobs").await.json()["jobs"][0]["id"].as_str().unwrap().to_owned();
    assert!(answer.text().contains(&id));
    server.work();
    server.reach(&id, "succeeded").await;
}
