//! What ranks say when they meet: a greeting of fixed size, and an answer of bounded size.

use std::io::{Read, Write};

/// "This is a rank of Foldry", and in which words it talks.
const MAGIC: [u8; 8] = *b"foldry/r";
const VERSION: u32 = 1;

/// Most bytes of a refusal's text.
const TEXT: usize = 500;

/// What a rank says to rank 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub rank: u32,
    pub world: u32,
}

/// What comes instead of a [`Greeting`].
#[derive(Debug)]
pub(super) enum Stranger {
    /// No rank of Foldry.
    Unknown(String),
    /// One of another version of the program.
    Other(u32),
}

impl Greeting {
    const BYTES: usize = 20;

    pub(super) fn write(self, to: &mut impl Write) -> std::io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for number in [VERSION, self.rank, self.world] {
            bytes.extend(number.to_le_bytes());
        }
        to.write_all(&bytes)
    }

    /// Reads as many bytes as a greeting has, and no more.
    pub(super) fn read(from: &mut impl Read) -> Result<Self, Stranger> {
        let mut bytes = [0; Self::BYTES];
        from.read_exact(&mut bytes).map_err(|e| Stranger::Unknown(format!("no greeting: {e}")))?;
        let number = |nth: usize| {
            let start = MAGIC.len() + 4 * nth;
            u32::from_le_bytes(bytes[start..start + 4].try_into().expect("four bytes"))
        };
        if !bytes.starts_with(&MAGIC) {
            return Err(Stranger::Unknown("not a greeting of a rank".into()));
        }
        match number(0) {
            VERSION => Ok(Self { rank: number(1), world: number(2) }),
            other => Err(Stranger::Other(other)),
        }
    }
}

/// What differs if a rank is of another version.
pub(super) fn other_version(version: u32) -> String {
    format!(
        "expected a rank that talks version {VERSION}, found {version}: all ranks must run the same program"
    )
}

/// Rank 0's answer: NCCL's id, or why there is none.
pub(super) fn answer(to: &mut impl Write, outcome: Result<&[u8; 128], &str>) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    match outcome {
        Ok(id) => {
            bytes.push(0);
            bytes.extend(id);
        }
        Err(text) => {
            let text = &text.as_bytes()[..text.len().min(TEXT)];
            bytes.push(1);
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text);
        }
    }
    to.write_all(&bytes)
}

/// Reads the answer.
pub(super) fn answered(from: &mut impl Read) -> Result<[u8; 128], String> {
    let gone = |e: std::io::Error| format!("no answer: {e}");
    let mut head = [0; MAGIC.len() + 1];
    from.read_exact(&mut head).map_err(gone)?;
    if !head.starts_with(&MAGIC) {
        return Err("what listens there is no rank of Foldry".into());
    }
    if head[MAGIC.len()] == 0 {
        let mut id = [0; 128];
        from.read_exact(&mut id).map_err(gone)?;
        return Ok(id);
    }
    let mut size = [0; 2];
    from.read_exact(&mut size).map_err(gone)?;
    let mut text = vec![0; usize::from(u16::from_le_bytes(size)).min(TEXT)];
    from.read_exact(&mut text).map_err(gone)?;
    Err(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_back() {
        let greeting = Greeting { rank: 3, world: 70_000 };
        let mut bytes = Vec::new();
        greeting.write(&mut bytes).unwrap();
        assert_eq!(bytes.len(), Greeting::BYTES);
        assert_eq!(Greeting::read(&mut &bytes[..]).unwrap(), greeting);
        for cut in 0..bytes.len() {
            assert!(matches!(Greeting::read(&mut &bytes[..cut]), Err(Stranger::Unknown(_))), "{cut}");
        }
        bytes[8] = 2;
        assert!(matches!(Greeting::read(&mut &bytes[..]), Err(Stranger::Other(2))));
        assert!(matches!(
            Greeting::read(&mut &b"GET / HTTP/1.1\r\nHost: x\r\n"[..]),
            Err(Stranger::Unknown(_))
        ));
    }

    #[test]
    fn answers_are_read_back_and_bounded() {
        let mut bytes = Vec::new();
        answer(&mut bytes, Ok(&[7; 128])).unwrap();
        assert_eq!(answered(&mut &bytes[..]), Ok([7; 128]));
        assert!(answered(&mut &bytes[..100]).unwrap_err().starts_with("no answer"));
        let mut bytes = Vec::new();
        answer(&mut bytes, Err(&"x".repeat(5000))).unwrap();
        assert_eq!(answered(&mut &bytes[..]), Err("x".repeat(TEXT)));
        let told = answered(&mut &b"HTTP/1.1 400 Bad Request\r\n"[..]).unwrap_err();
        assert_eq!(told, "what listens there is no rank of Foldry");
    }
}
