//! Event files for TensorBoard: TFRecord framing around hand-encoded protocol buffers.
//!
//! A record is its length (u64), a checksum of the length, the bytes, a checksum of the bytes; the checksum is CRC-32C, rotated
//! and offset so that a checksum of checksums is sound. The bytes are a `tensorflow.Event`:
//! <https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto>.

use super::Tracker;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one event file a call of the trainer into a folder; TensorBoard joins them.
pub struct TensorBoard {
    folder: PathBuf,
    path: PathBuf,
    file: Option<File>,
}

impl TensorBoard {
    /// Events in `folder`, opened when the run begins.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), path: PathBuf::new(), file: None }
    }

    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        let io = Error::io(&self.path);
        match &mut self.file {
            Some(file) => file.write_all(&record(&event.encode(now()))).map_err(io),
            None => Err(Error::config(self.folder.display(), "a record that was begun", "one that was not")),
        }
    }
}

impl Tracker for TensorBoard {
    fn begin(&mut self, step: u64, _: u64) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        // TensorBoard reads files in the order of their names: time first, then what tells two of one second apart.
        let (seconds, mut n) = (now() as u64, 0);
        let file = loop {
            self.path =
                self.folder.join(format!("events.out.tfevents.{seconds:010}.{}.{n}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&self.path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                other => break other.map_err(Error::io(&self.path))?,
            }
        };
        self.file = Some(file);
        self.write(&Event::Version)?;
        if step > 0 {
            // What an interrupted call wrote of later steps is void.
            self.write(&Event::Start(step + 1))?;
        }
        Ok(())
    }

    fn scalars(&mut self, step: u64, kind: &str, values: &BTreeMap<String, f64>) -> Result<()> {
        self.write(&Event::Scalars(step, kind, values))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The events that are written, each with its step.
enum Event<'a> {
    /// The first of a file.
    Version,
    /// A session begins: TensorBoard forgets events from this step on.
    Start(u64),
    /// Numbers of a kind.
    Scalars(u64, &'a str, &'a BTreeMap<String, f64>),
}

impl Event<'_> {
    fn encode(&self, time: f64) -> Vec<u8> {
        let mut out = Message::default();
        out.double(1, time);
        match self {
            Self::Version => out.bytes(3, b"brain.Event:2"),
            Self::Start(step) => {
                let mut log = Message::default();
                log.varint(1, 1); // SessionLog.START
                out.varint(2, *step);
                out.bytes(7, &log.0);
            }
            Self::Scalars(step, kind, values) => {
                let mut summary = Message::default();
                for (name, value) in *values {
                    let mut one = Message::default();
                    one.bytes(1, format!("{kind}/{name}").as_bytes());
                    one.float(2, *value as f32);
                    summary.bytes(1, &one.0);
                }
                out.varint(2, *step);
                out.bytes(5, &summary.0);
            }
        }
        out.0
    }
}

/// A protocol buffer: fields one after the other, each a tag (number and wire type) and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.raw(field << 3);
        self.raw(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.raw(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.raw(field << 3 | 2);
        self.raw(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.raw(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }
}

/// A TFRecord around `data`.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
    out
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), bit by bit: a few hundred bytes a line of metrics.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xff; 32]), 0x62A8_AB43);
    }

    /// Bytes written by TensorBoard 2.21.0's own `RecordWriter` for the same three events.
    #[test]
    fn bytes_are_tensorboards() {
        let values = BTreeMap::from([("loss".to_string(), 0.75), ("lr".to_string(), 0.0)]);
        let events = [Event::Version, Event::Start(7), Event::Scalars(300, "train", &values)];
        let bytes: Vec<u8> = events.iter().flat_map(|e| record(&e.encode(1_700_000_000.5))).collect();
        let expected = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110\
                        0f000000000000006d532b090900002040fc54d94110073a0208019beb06a7\
                        3200000000000000241956ec0900002040fc54d94110ac022a240a110a0a747261696e2f6c6f7373150000403f\
                        0a0f0a08747261696e2f6c7215000000008a1f788e";
        assert_eq!(crate::config::hex(&bytes), expected);
    }

    #[test]
    fn every_call_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for step in [0, 5] {
            let mut record = TensorBoard::new(&folder.path().join("events"));
            assert!(record.scalars(1, "train", &BTreeMap::new()).is_err());
            record.begin(step, 9).unwrap();
            record.scalars(step + 1, "train", &BTreeMap::from([("loss".into(), 0.5)])).unwrap();
        }
        let files = fs::read_dir(folder.path().join("events")).unwrap();
        let mut sizes: Vec<u64> = files.map(|f| f.unwrap().metadata().unwrap().len()).collect();
        sizes.sort_unstable();
        // The second has a session's beginning more: 16 bytes of frame and 15 of event.
        assert_eq!(sizes[1] - sizes[0], 31, "{sizes:?}");
    }
}
