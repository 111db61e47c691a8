//! A pickle machine for state dicts that executes nothing.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>. Understood are those that
//! `torch.save` emits for nested dicts of tensors, protocols 2 to 5; a name outside [`Global`] is refused.

use super::FileError;
use super::pickle_value::{Id, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// Values one pickle may make; a full AlphaFold checkpoint has about 60,000.
const MAX_VALUES: usize = 2_000_000;

/// An unpickled document.
pub(crate) struct Document {
    pub values: Vec<Value>,
    pub root: Id,
}

/// Reads a pickle; `file` and `entry` name it in errors.
pub(crate) fn load(file: &str, entry: &str, data: &[u8]) -> Result<Document, FileError> {
    let machine = Machine {
        file,
        entry,
        data,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    machine.run()
}

pub(super) struct Machine<'a> {
    pub(super) file: &'a str,
    pub(super) entry: &'a str,
    data: &'a [u8],
    at: usize,
    values: Vec<Value>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

pub(super) type Outcome<T> = Result<T, FileError>;

impl<'a> Machine<'a> {
    fn run(mut self) -> Outcome<Document> {
        loop {
            match self.byte()? {
                0x80 => {
                    let version = self.byte()?;
                    if !(2..=5).contains(&version) {
                        return Err(self.bad("pickle protocol 2 to 5", format!("{version}")));
                    }
                }
                0x95 => drop(self.take(8)?), // FRAME
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Document { values: self.values, root });
                }
                op => self.step(op)?,
            }
        }
    }

    fn step(&mut self, op: u8) -> Outcome<()> {
        match op {
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Other), // NEWTRUE, NEWFALSE
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Value::Int(value.into()))
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            0x8a => {
                let size = self.byte()?;
                self.long(size.into())
            }
            0x8b => {
                let size = u32::from_le_bytes(self.array()?);
                self.long(size as usize)
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other)
            }
            b'X' => {
                let size = u32::from_le_bytes(self.array()?);
                self.text(size as usize)
            }
            0x8c => {
                let size = self.byte()?;
                self.text(size.into())
            }
            b'U' | b'C' => {
                let size = self.byte()?;
                self.take(size.into())?;
                self.push(Value::Other)
            }
            b'T' | b'B' => {
                let size = u32::from_le_bytes(self.array()?);
                self.take(size as usize)?;
                self.push(Value::Other)
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' => self.push(Value::Items(Vec::new())),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b't' | b'l' => {
                let items = self.since_mark()?;
                self.push(Value::Items(items))
            }
            0x85..=0x87 => self.tuple(usize::from(op - 0x84)),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)
            }
            b'd' => {
                let items = self.since_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)
            }
            b'q' => {
                let slot = self.byte()?;
                self.memoize(slot.into())
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)
            }
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => {
                let slot = self.byte()?;
                self.recall(slot.into())
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)
            }
            b'0' => self.pop().map(drop),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.get(module), self.get(name)) {
                    (Value::Text(module), Value::Text(name)) => self.global(&module, &name),
                    (a, b) => Err(self.bad("two strings", format!("{}, {}", a.kind(), b.kind()))),
                }
            }
            b'Q' => self.persistent(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            op => Err(self.bad("an opcode of tensors and plain containers", format!("0x{op:02x}"))),
        }
    }

    fn tuple(&mut self, count: usize) -> Outcome<()> {
        let floor = self.stack.len().checked_sub(count).filter(|&n| n >= self.floor());
        let floor = floor.ok_or_else(|| self.bad("a value on the stack", "none"))?;
        let items = self.stack.split_off(floor);
        self.push(Value::Items(items))
    }

    fn long(&mut self, size: usize) -> Outcome<()> {
        let bytes = self.take(size)?;
        if size > 8 {
            return self.push(Value::Other);
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..size].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, size: usize) -> Outcome<()> {
        let bytes = self.take(size)?;
        let text: Rc<str> = String::from_utf8_lossy(bytes).into();
        self.push(Value::Text(text))
    }

    fn append(&mut self, items: Vec<Id>) -> Outcome<()> {
        let list = self.top()?;
        match &mut self.values[list as usize] {
            Value::Items(all) => all.extend(items),
            other => {
                let kind = other.kind();
                return Err(self.bad("a list to append to", kind));
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self, items: &[Id]) -> Outcome<()> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.bad("keys with values", "a key without"));
        }
        match &mut self.values[dict as usize] {
            Value::Dict(all) => all.extend(pairs.iter().map(|&[k, v]| (k, v))),
            other => {
                let kind = other.kind();
                return Err(self.bad("a dict to fill", kind));
            }
        }
        Ok(())
    }

    pub(super) fn items(&self, id: Id) -> Outcome<Vec<Id>> {
        match &self.values[id as usize] {
            Value::Items(items) => Ok(items.clone()),
            other => Err(self.bad("a list or tuple", other.kind())),
        }
    }

    /// A copy of a value; of a container only its kind, never its content.
    pub(super) fn get(&self, id: Id) -> Value {
        match &self.values[id as usize] {
            Value::Items(_) => Value::Items(Vec::new()),
            Value::Dict(_) => Value::Dict(Vec::new()),
            other => other.clone(),
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Outcome<()> {
        if self.values.len() >= MAX_VALUES {
            return Err(FileError::limit(self.file, self.entry, "values", MAX_VALUES as u64));
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Outcome<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn top(&self) -> Outcome<Id> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.bad("a value on the stack", "none")),
        }
    }

    fn since_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("a mark on the stack", "none"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn memoize(&mut self, slot: u32) -> Outcome<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Outcome<()> {
        let id = self.memo.get(&slot).copied();
        self.stack.push(id.ok_or_else(|| self.bad("a remembered value", format!("none at {slot}")))?);
        Ok(())
    }

    fn byte(&mut self) -> Outcome<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let piece = self.at.checked_add(count).and_then(|end| self.data.get(self.at..end));
        let piece = piece.ok_or_else(|| self.bad(&format!("{count} more bytes"), "the end"))?;
        self.at += count;
        Ok(piece)
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = &self.data[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or_else(|| self.bad("a line", "the end"))?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    pub(super) fn bad(&self, expected: &str, found: impl Into<String>) -> FileError {
        let place = format!("{} at byte {}", self.entry, self.at);
        FileError::entry(self.file, &place, expected, found)
    }
}
