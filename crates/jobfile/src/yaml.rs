//! YAML into a dialect's types, with the line of every value. Aliases are written out within bounds.

use crate::error::quote;
use crate::file::File;
use crate::json::{message, pointer};
use crate::limits::{DEPTH, NODES};
use crate::{Error, Place};
use granit_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Track;
use std::collections::HashMap;

/// The lines of a document's values, from 1.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    line: usize,
    below: Below,
}

#[derive(Clone, Debug)]
enum Below {
    Nothing,
    List(Vec<Lines>),
    Map(HashMap<String, Lines>),
}

impl Lines {
    /// The place of a value, or of the innermost one around it that there is.
    pub fn at(&self, file: &File<'_>, pointer: &str) -> Place {
        let mut here = self;
        // A pointer begins with `/`, so nothing stands before the first.
        for key in pointer.split('/').skip(1) {
            let below = match &here.below {
                Below::Nothing => None,
                Below::List(list) => key.parse::<usize>().ok().and_then(|i| list.get(i)),
                Below::Map(map) => map.get(&key.replace("~1", "/").replace("~0", "~")),
            };
            let Some(below) = below else { break };
            here = below;
        }
        Place { line: here.line, ..file.at(pointer) }
    }
}

/// The one document of a file.
pub(crate) fn parse<T: DeserializeOwned>(file: &File<'_>) -> Result<(T, Lines), Error> {
    let (value, lines) = Builder::new(file).document()?;
    let mut track = Track::new();
    match T::deserialize(serde_path_to_error::Deserializer::new(value, &mut track)) {
        Ok(read) => Ok((read, lines)),
        Err(error) => {
            let place = lines.at(file, &pointer(&track.path()));
            Err(Error::Syntax { place, message: message(&error.to_string()) })
        }
    }
}

/// A value, its lines, and what it counts against the bounds.
#[derive(Clone)]
struct Node {
    value: Value,
    lines: Lines,
    nodes: usize,
    bytes: u64,
}

/// A list or map that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// Of a map: the key whose value is next.
    key: Option<String>,
}

struct Builder<'a, 'b> {
    file: &'b File<'a>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: u64,
    root: Option<Node>,
}

impl<'a, 'b> Builder<'a, 'b> {
    fn new(file: &'b File<'a>) -> Self {
        Self { file, open: Vec::new(), anchors: HashMap::new(), nodes: 0, bytes: 0, root: None }
    }

    fn document(mut self) -> Result<(Value, Lines), Error> {
        let options = granit_parser::options! { flow_nesting_limit: 64, block_nesting_limit: 64 };
        for event in Parser::new_from_str_with_options(self.file.text, options) {
            let (event, span) = event.map_err(|error| {
                let marker = error.marker();
                let place = Place { column: marker.col() + 1, ..Place::line(self.file.name, marker.line()) };
                Error::Syntax { place, message: message(&error.info()) }
            })?;
            self.event(event, span.start.line())?;
        }
        let none = || Error::value(&Place::file(self.file.name), "a YAML document", "none");
        let root = self.root.ok_or_else(none)?;
        Ok((root.value, root.lines))
    }

    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Error> {
        let node = |value, below, bytes: usize| Node {
            value,
            lines: Lines { line, below },
            nodes: 1,
            bytes: bytes as u64,
        };
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Error::value(&Place::line(self.file.name, line), "one YAML document", "another"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let bytes = text.len();
                let value = if plain { plain_scalar(&text) } else { Value::String(text.into_owned()) };
                self.count(1, bytes as u64, line)?;
                self.close(node(value, Below::Nothing, bytes), anchor, line)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(node(Value::Array(Vec::new()), Below::List(Vec::new()), 0), anchor, line)
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(node(Value::Object(Map::new()), Below::Map(HashMap::new()), 0), anchor, line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(open.node, open.anchor, line),
                None => Ok(()), // the parser's ends match its starts
            },
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    let place = Place::line(self.file.name, line);
                    return Err(Error::value(
                        &place,
                        "an alias of a value before it",
                        "one of a value around it",
                    ));
                };
                let (nodes, bytes) = (node.nodes, node.bytes);
                self.count(nodes, bytes, line)?; // before the copy is made
                let node = self.anchors[&id].clone();
                self.close(node, 0, line)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize, bytes: u64, line: usize) -> Result<(), Error> {
        let place = || Place::line(self.file.name, line);
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > NODES {
            return Err(Error::limit(&place(), "values, aliases written out", NODES as u64));
        }
        if self.bytes > self.file.limits.bytes {
            return Err(Error::limit(&place(), "bytes, aliases written out", self.file.limits.bytes));
        }
        Ok(())
    }

    fn begin(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), Error> {
        self.count(1, 0, line)?;
        if self.open.len() == DEPTH {
            let place = Place::line(self.file.name, line);
            return Err(Error::limit(&place, "lists and maps within each other", DEPTH as u64));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    /// A value is complete: it belongs into the list or map around it.
    fn close(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), Error> {
        if anchor > 0 {
            // Kept beside the document, so it counts once more.
            self.count(node.nodes, node.bytes, line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let here = &mut open.node;
        here.nodes += node.nodes;
        here.bytes += node.bytes;
        match (&mut here.value, &mut here.lines.below) {
            (Value::Array(list), Below::List(lines)) => {
                list.push(node.value);
                lines.push(node.lines);
            }
            (Value::Object(map), Below::Map(lines)) => match open.key.take() {
                None => {
                    let key = match node.value {
                        Value::String(text) => text,
                        Value::Number(number) => number.to_string(),
                        Value::Bool(_) | Value::Null => "null".to_string(),
                        _ => {
                            let place = Place::line(self.file.name, line);
                            return Err(Error::value(&place, "a word as a key", "a list or map"));
                        }
                    };
                    if map.contains_key(&key) {
                        let place = Place::line(self.file.name, line);
                        return Err(Error::value(&place, "each key once", format!("{} again", quote(&key))));
                    }
                    open.key = Some(key);
                }
                Some(key) => {
                    map.insert(key.clone(), node.value);
                    lines.insert(key, node.lines);
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// A scalar without quotes, by YAML 1.2's core schema. `yes`, `no`, `on` and `off` are words.
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    // Only what looks like a number: Rust's parser also takes `inf`, `nan` and `infinity`.
    let number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number = number && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let value = match number {
        true => text
            .parse::<u64>()
            .map(Value::from)
            .ok()
            .or_else(|| text.parse::<i64>().map(Value::from).ok())
            .or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)),
        false => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_string()))
}
