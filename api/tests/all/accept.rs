//! Accepting jobs, reading them back, and cancelling.

use crate::server::{SEQUENCE, Server};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn a_job_is_accepted_folded_and_read() {
    let server = Server::start().await;
    let body = json!({"name": "t1", "alignment": format!(">q\n{SEQUENCE}\n>a\n{SEQUENCE}\n"), "priority": 3,
        "options": {"seed": 7, "max_msa": [512, 1024]}});
    let answer = server.post("/v1/jobs", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    let id = job["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));
    assert_eq!(
        (&job["state"], &job["msa_rows"], &job["sequence"]),
        (&json!("queued"), &json!(2), &json!(SEQUENCE))
    );
    assert_eq!(job["options"]["model"], "mini");
    assert_eq!(job["weights_sha256"], "a".repeat(64));

    let job = server.reach(id, "succeeded").await;
    assert_eq!(job["result"]["ranking"][0]["seed"], 7);
    assert_eq!(job["result"]["residues"], SEQUENCE.len());
    let list = server.get("/v1/jobs").await.json();
    assert_eq!(list["jobs"][0]["id"], id);
    assert!(list["jobs"][0].get("result").is_none());
    assert_eq!(list["next"], json!(null));
}

#[tokio::test]
async fn the_input_of_a_job_makes_it_again() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let atom = |chain| {
        format!("ATOM      1  CA  ALA {chain}   1       0.000   0.000   0.000  1.00  0.00           C  \n")
    };
    let body = json!({"name": "t1", "sequence": SEQUENCE, "alignment": format!(">q\n{SEQUENCE}\n>a\n{SEQUENCE}\n"),
        "templates": [{"name": "x.pdb", "structure": atom('B'), "chain": "B"}, {"structure": atom('A')}],
        "options": {"seed": 7, "max_msa": [512, 1024], "recycle_tolerance": 0.5}, "priority": -3, "max_attempts": 2});
    let job = server.post("/v1/jobs", body.clone()).await.json();
    let id = job["id"].as_str().unwrap();
    let input = server.get(&format!("/v1/jobs/{id}/input")).await.json();
    for field in ["name", "sequence", "alignment", "priority", "max_attempts"] {
        assert_eq!(input[field], body[field], "{field}");
    }
    assert_eq!(input["templates"][0], body["templates"][0]);
    assert_eq!(input["templates"][1]["structure"], body["templates"][1]["structure"]);
    let again = server.post("/v1/jobs", input).await;
    assert_eq!(again.status, 202, "{}", again.text());
    let again = again.json()["id"].as_str().unwrap().to_owned();
    // Alignment, templates and options: what is to be folded is the same to the last byte.
    let order = |id: &str| server.store.get(id.parse().unwrap());
    assert_eq!(order(id).await.unwrap().request, order(&again).await.unwrap().request);

    let alone = server.submit("alone").await;
    let input = server.get(&format!("/v1/jobs/{alone}/input")).await.json();
    assert_eq!((input.get("alignment"), input.get("templates")), (None, None));
}

#[tokio::test]
async fn an_earlier_result_answers_unless_it_may_not() {
    let server = Server::start().await;
    let body = json!({"name": "t1", "sequence": SEQUENCE});
    server.done("t1").await;
    let again = server.post("/v1/jobs", body.clone()).await.json();
    assert_eq!((&again["state"], &again["reused"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(again["result"]["residues"], SEQUENCE.len());
    let mut anew = body.clone();
    anew["reuse"] = json!(false);
    let mut other = body;
    other["options"] = json!({"seed": 1});
    for body in [anew, other] {
        let job = server.post("/v1/jobs", body).await.json();
        assert_eq!((&job["state"], &job["reused"]), (&json!("queued"), &json!(false)));
    }
}

#[tokio::test]
async fn waiting_jobs_know_their_place() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let first = server.submit("a").await;
    let second = server.submit("b").await;
    for (id, place) in [(&first, 0), (&second, 1)] {
        assert_eq!(server.get(&format!("/v1/jobs/{id}")).await.json()["position"], place);
    }
    server.store.cancel(first.parse().unwrap()).await.unwrap();
    assert_eq!(server.get(&format!("/v1/jobs/{second}")).await.json()["position"], 0);
    assert_eq!(server.get(&format!("/v1/jobs/{first}")).await.json()["position"], json!(null));
}

#[tokio::test]
async fn a_key_makes_one_job() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let body = |sequence: &str| json!({"sequence": sequence});
    let key = [("idempotency-key", "k1")];
    let first = server.post_with("/v1/jobs", body(SEQUENCE), &key).await;
    let again = server.post_with("/v1/jobs", body(SEQUENCE), &key).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (202, "true"));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = server.post_with("/v1/jobs", body("MKV"), &key).await;
    assert_eq!(other.problem(), (422, "key_reused".into(), String::new()));
    assert_eq!(server.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_is_accepted_as_a_whole() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let good = json!({"sequence": SEQUENCE});
    let bad = json!({"jobs": [good, {"sequence": "MK1"}]});
    let answer = server.post("/v1/batches", bad).await;
    assert_eq!(answer.problem(), (422, "bad_sequence".into(), "/jobs/1/sequence".into()));
    assert_eq!(server.get("/v1/jobs").await.json()["jobs"], json!([]));

    let key = [("idempotency-key", "k")];
    let two = json!({"jobs": [good, {"sequence": "MKV"}]});
    let answer = server.post_with("/v1/batches", two.clone(), &key).await;
    assert_eq!((answer.status.as_u16(), answer.json()["jobs"].as_array().unwrap().len()), (202, 2));
    let again = server.post_with("/v1/batches", two, &key).await;
    assert_eq!(answer.json()["jobs"][1]["id"], again.json()["jobs"][1]["id"]);
    assert_eq!(server.post("/v1/batches", json!({"jobs": []})).await.problem().1, "bad_field");
}

#[tokio::test]
async fn pages_hold_every_job_once() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let mut ids = Vec::new();
    for index in 0..7 {
        ids.push(server.submit(&format!("j{index}")).await);
    }
    ids.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/jobs?state=queued&limit=3{cursor}")).await.json();
        let jobs = page["jobs"].as_array().unwrap().clone();
        assert!(jobs.len() <= 3);
        found.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ids);
    assert_eq!(server.get("/v1/jobs?state=running").await.json()["jobs"], json!([]));
}

#[tokio::test]
async fn a_form_is_a_job_too() {
    let server = Server::start().await;
    let text = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nf1\r\n--B\r\nContent-Disposition: form-data; \
        name=\"alignment\"; filename=\"a.a3m\"\r\n\r\n>q\nMKVL\n>r\nMK-L\n\r\n--B\r\nContent-Disposition: form-data; \
        name=\"options\"\r\n\r\n{\"seed\": 5}\r\n--B--\r\n";
    let request = Request::post("/v1/jobs").header("content-type", "multipart/form-data; boundary=B");
    let answer = server.ask(request.body(Body::from(text)).unwrap()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    assert_eq!(
        (&job["name"], &job["sequence"], &job["options"]["seed"]),
        (&json!("f1"), &json!("MKVL"), &json!(5))
    );
    let alignment = server.get(&format!("/v1/jobs/{}/alignment", job["id"].as_str().unwrap())).await;
    assert_eq!(alignment.text(), ">q\nMKVL\n>r\nMK-L\n");

    let request = Request::post("/v1/jobs").header("content-type", "multipart/form-data; boundary=B");
    let cut = server.ask(request.body(Body::from(&text[..200])).unwrap()).await;
    assert_eq!(cut.problem().1, "bad_form");
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_bounds() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let post = |bytes: Vec<u8>, encoding: &str| {
        let request = Request::post("/v1/jobs").header("content-type", "application/json");
        server.ask(request.header("content-encoding", encoding).body(Body::from(bytes)).unwrap())
    };
    let body = json!({"sequence": SEQUENCE}).to_string();
    assert_eq!(post(gzip(body.as_bytes()), "gzip").await.status, 202);
    assert_eq!(post(zstd::encode_all(body.as_bytes(), 3).unwrap(), "zstd").await.status, 202);
    let bomb = format!("{{\"sequence\": \"{}\"}}", "A".repeat(16 << 20));
    assert_eq!(post(gzip(bomb.as_bytes()), "gzip").await.problem().1, "body_too_large");
    assert_eq!(post(gzip(&gzip(body.as_bytes())), "gzip, gzip").await.problem().1, "unsupported_encoding");
    assert_eq!(post(body.into_bytes(), "gzip").await.problem().1, "bad_body");
}

#[tokio::test]
async fn cancelling_is_done_once() {
    let mut server = Server::with(|_, _| {}, Options::default()).await;
    let delete = |id: &str| Request::delete(format!("/v1/jobs/{id}")).body(Body::empty()).unwrap();
    let queued = server.submit("q").await;
    for _ in 0..2 {
        let answer = server.ask(delete(&queued)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("cancelled")));
    }
    server.work();
    let running = server.submit("hold").await;
    server.reach(&running, "running").await;
    assert_eq!(server.ask(delete(&running)).await.json()["state"], "cancelling");
    server.reach(&running, "cancelled").await;
}

#[tokio::test]
async fn waiting_ends_with_a_change_or_with_time() {
    let mut server = Server::with(|_, _| {}, Options::default()).await;
    let id = server.submit("hold").await;
    let path = format!("/v1/jobs/{id}");
    let first = server.get(&path).await;
    let tag = first.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(server.get_with(&path, &known).await.status, 304);
    let began = Instant::now();
    assert_eq!(server.get_with(&format!("{path}?wait=1"), &known).await.status, 304);
    assert!(began.elapsed() >= Duration::from_secs(1));

    server.work();
    let began = Instant::now();
    let changed = server.get_with(&format!("{path}?wait=30"), &known).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["state"]), (200, &json!("running")));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_ne!(changed.header("etag"), tag);
    // What is no longer known is answered at once.
    let began = Instant::now();
    assert_eq!(server.get_with(&format!("{path}?wait=30"), &known).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(5));
}
