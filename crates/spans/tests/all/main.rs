//! Spans as a collector sees them, and collectors that are unwell.

mod collector;

use collector::{Answer, Collector, attribute};
use spans::{Context, Endpoint, Kind, Spans};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn start(url: &str) -> Spans {
    Spans::start(&url.parse().unwrap(), "here").unwrap()
}

#[test]
fn a_collector_gets_what_was_ended() {
    let mut collector = Collector::start(Answer::Status(200));
    let spans = start(&collector.url());
    let parent = Context { trace: 0xabc, span: 0x12, sampled: true };
    let mut child = spans.begin("child", Kind::Server, Some(parent));
    child.set("text", "a \"b\"");
    child.set("number", i64::MAX);
    child.fail();
    std::thread::sleep(Duration::from_millis(30));
    child.end();
    spans.begin("unsampled", Kind::Server, Some(Context { sampled: false, ..parent })).end();
    drop(spans.begin("forgotten", Kind::Server, None));
    spans.begin_in(0xdef, "alone", Kind::Consumer).end();
    let began = Instant::now();
    spans.close(Duration::from_secs(30));
    assert!(began.elapsed() < Duration::from_secs(30), "closing waits for the answer only");

    let alone = collector.wait(|span| span["name"] == "alone");
    assert_eq!(alone["traceId"], format!("{:032x}", 0xdef));
    assert_eq!((&alone["kind"], alone.get("parentSpanId"), alone.get("status")), (&5.into(), None, None));
    let child = collector.wait(|span| span["name"] == "child");
    assert_eq!(child["traceId"], "00000000000000000000000000000abc");
    assert_eq!(child["parentSpanId"], "0000000000000012");
    assert_eq!((&child["kind"], &child["status"]["code"]), (&2.into(), &2.into()));
    assert_eq!(attribute(&child, "text").unwrap(), "a \"b\"");
    assert_eq!(attribute(&child, "number").unwrap(), i64::MAX.to_string());
    let id = child["spanId"].as_str().unwrap();
    assert!(id.len() == 16 && id != "0000000000000012" && child["spanId"] != alone["spanId"]);
    let time = |name: &str| child[name].as_str().unwrap().parse::<u128>().unwrap();
    let ran = Duration::from_nanos((time("endTimeUnixNano") - time("startTimeUnixNano")) as u64);
    assert!(ran >= Duration::from_millis(30) && ran < Duration::from_secs(60), "{ran:?}");
    assert_eq!(collector.spans().len(), 2, "{:?}", collector.spans());
    assert!(collector.text.contains(r#"{"key":"service.instance.id","value":{"stringValue":"here"}}"#));
    assert_eq!(spans.dropped(), Some(0));
}

/// More spans than the queue holds, and the end, each within the time a caller would not notice.
fn unwell(url: &str) -> u64 {
    let spans = start(url);
    let began = Instant::now();
    for _ in 0..5000 {
        spans.begin("span", Kind::Server, None).end();
    }
    let ended = began.elapsed();
    assert!(ended < Duration::from_secs(2), "5000 spans took {ended:?}");
    let began = Instant::now();
    spans.close(Duration::from_secs(2));
    let closed = began.elapsed();
    assert!(closed < Duration::from_millis(2900), "the end took {closed:?}");
    spans.dropped().unwrap()
}

#[test]
fn a_collector_that_is_away_silent_or_broken_costs_spans_and_nothing_else() {
    // A port that was just free: nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(unwell(&format!("http://{nobody}")) > 0);
    // The queue holds 2048 and one batch is on its way, so at least so many found it full.
    let silent = Collector::start(Answer::Silence);
    assert!(unwell(&silent.url()) >= 5000 - 2048 - 512);
    let broken = Collector::start(Answer::Status(500));
    assert!(unwell(&broken.url()) > 0);
}

#[test]
fn without_a_collector_nothing_happens() {
    let spans = Spans::default();
    let mut span = spans.begin("span", Kind::Server, None);
    span.set("name", "value");
    span.end();
    spans.close(Duration::from_secs(600));
    assert_eq!((spans.is_on(), spans.dropped()), (false, None));
}

#[test]
fn an_endpoint_is_an_address_and_nothing_secret() {
    for right in ["http://127.0.0.1:4318", "https://host/base/", "http://[::1]:4318/"] {
        assert!(right.parse::<Endpoint>().is_ok(), "{right}");
    }
    for (wrong, why) in [
        ("host:4318", "http://"),
        ("grpc://host", "http://"),
        ("http://user:hush@host", "a user's name"),
        ("http://host?key=hush", "a query"),
        ("http://", "something else"),
        ("", "something else"),
    ] {
        let error = wrong.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("hush"), "{wrong}: {error}");
    }
}
