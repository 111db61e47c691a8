//! One span: a name, a time, attributes.

use crate::{Context, Spans};
use std::time::{Instant, SystemTime};

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// What a span is to others; the numbers are OTLP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a request.
    Server = 2,
    /// Work on what was queued earlier.
    Consumer = 5,
}

/// A span that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970, both.
    pub(crate) start: u128,
    pub(crate) end: u128,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) failed: bool,
}

/// A span that runs; sent by [`Span::end`], forgotten if it is dropped. All it does is nothing if nobody listens.
#[derive(Debug)]
pub struct Span(Option<Running>);

#[derive(Debug)]
struct Running {
    spans: Spans,
    began: Instant,
    span: Ended,
}

impl Spans {
    /// Begins a span in another's trace, or in a new one.
    pub fn begin(&self, name: impl Into<String>, kind: Kind, parent: Option<Context>) -> Span {
        if !self.is_on() || parent.is_some_and(|parent| !parent.sampled) {
            return Span(None);
        }
        self.within(name, kind, parent.map(|parent| parent.trace), parent.map(|parent| parent.span))
    }

    /// Begins a span without a parent in this trace.
    pub fn begin_in(&self, trace: u128, name: impl Into<String>, kind: Kind) -> Span {
        self.within(name, kind, Some(trace), None)
    }

    fn within(&self, name: impl Into<String>, kind: Kind, trace: Option<u128>, parent: Option<u64>) -> Span {
        let mut random = [0; 24];
        // Without random numbers there are no spans, and nothing else is lost.
        if !self.is_on() || getrandom::fill(&mut random).is_err() {
            return Span(None);
        }
        let (fresh, id) = random.split_at(16);
        // The standard forbids 0.
        let fresh = u128::from_be_bytes(fresh.try_into().expect("16 bytes")).max(1);
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let span = Ended {
            trace: trace.unwrap_or(fresh),
            id: u64::from_be_bytes(id.try_into().expect("8 bytes")).max(1),
            parent,
            name: name.into(),
            kind,
            start,
            end: start,
            attributes: Vec::new(),
            failed: false,
        };
        Span(Some(Running { spans: self.clone(), began: Instant::now(), span }))
    }
}

impl Span {
    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(running) = &mut self.0 {
            running.span.attributes.push((name, value.into()));
        }
    }

    /// Marks it as failed.
    pub fn fail(&mut self) {
        if let Some(running) = &mut self.0 {
            running.span.failed = true;
        }
    }

    /// Ends it now and hands it over. Never waits.
    pub fn end(self) {
        if let Some(Running { spans, began, mut span }) = self.0 {
            // Not the wall clock a second time: it may have been set meanwhile.
            span.end = span.start + began.elapsed().as_nanos();
            spans.send(span);
        }
    }
}
