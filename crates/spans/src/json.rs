//! `ExportTraceServiceRequest` as OTLP's JSON: ids are hexadecimal, 64-bit numbers are text.

use crate::Value;
use crate::span::Ended;
use serde_json::{Value as Json, json};

/// `Status.code` of a span that failed; one that did not has none.
const ERROR: u8 = 2;

/// A request's body. `instance` names this process among those that send.
pub(crate) fn body(spans: &[Ended], instance: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        [("service.name", "foldry"), ("service.version", version), ("service.instance.id", instance)];
    let resource = resource.map(|(name, text)| json!({"key": name, "value": {"stringValue": text}}));
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "foldry", "version": version},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
    .to_string()
}

fn span(span: &Ended) -> Json {
    let attribute = |(name, value): &(&str, Value)| {
        let value = match value {
            Value::Text(text) => json!({"stringValue": text}),
            Value::Integer(number) => json!({"intValue": number.to_string()}),
        };
        json!({"key": name, "value": value})
    };
    let mut json = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": span.end.to_string(),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = format!("{parent:016x}").into();
    }
    if span.failed {
        json["status"] = json!({"code": ERROR});
    }
    json
}
