//! What a launcher says in the environment: `torchrun`'s names, which many launchers and schedulers set.

use crate::error::{Error, Result};

/// Most ranks: what one sends to another in a round is a share of a piece of memory.
const MOST: usize = 1 << 16;

/// A process's place among the ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub rank: usize,
    pub world: usize,
    /// The GPU of this rank on its machine.
    pub gpu: usize,
    /// Where rank 0 listens.
    pub address: String,
    pub port: u16,
}

impl Launch {
    /// From the environment.
    ///
    /// # Errors  If a value is missing or cannot be.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let text = |name: &str, expected: &str| match variable(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(Error::config(name, expected, "nothing")),
        };
        let number = |name: &str, expected: &str, most: usize| {
            let value = text(name, expected)?;
            let number = value.parse().ok().filter(|&n: &usize| n <= most);
            number.ok_or_else(|| Error::config(name, expected, format!("{value:?}")))
        };
        let world = number("WORLD_SIZE", "the number of ranks, up to 65536", MOST)?;
        if world == 0 {
            return Err(Error::config("WORLD_SIZE", "the number of ranks, from 1 on", "0"));
        }
        let rank = number("RANK", &format!("this rank, below WORLD_SIZE={world}"), world - 1)?;
        let gpu = number("LOCAL_RANK", "this rank's GPU", i32::MAX as usize)?;
        let address = text("MASTER_ADDR", "the address of rank 0")?;
        let port = number("MASTER_PORT", "a port on which rank 0 listens", u16::MAX.into())? as u16;
        if port == 0 {
            return Err(Error::config("MASTER_PORT", "a port on which rank 0 listens", "0"));
        }
        // `torchrun` itself listens at that port for PyTorch's ranks; the next one is ours then.
        let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let next = if taken { port.checked_add(1) } else { Some(port) };
        let port =
            next.ok_or_else(|| Error::config("MASTER_PORT", "a port below 65535 from torchrun", port))?;
        Ok(Self { rank, world, gpu, address, port })
    }

    /// Address and port.
    pub(super) fn place(&self) -> (String, u16) {
        (self.address.clone(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("RANK", "2"),
        ("WORLD_SIZE", "3"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "node-0"),
        ("MASTER_PORT", "29500"),
    ];

    /// With one variable changed.
    fn with(changed: &str, value: Option<&str>) -> Result<Launch> {
        Launch::of(|name| {
            let value = if name == changed { value } else { GOOD.iter().find(|v| v.0 == name).map(|v| v.1) };
            value.map(str::to_owned)
        })
    }

    #[test]
    fn what_torchrun_sets() {
        let launch = with("", None).unwrap();
        assert_eq!(launch, Launch { rank: 2, world: 3, gpu: 1, address: "node-0".into(), port: 29500 });
        let beside = with("TORCHELASTIC_USE_AGENT_STORE", Some("True")).unwrap();
        assert_eq!(beside.port, 29501);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, told) in [
            ("RANK", None, "RANK: expected this rank, below WORLD_SIZE=3, found nothing"),
            ("RANK", Some("3"), "RANK: expected this rank, below WORLD_SIZE=3, found \"3\""),
            ("RANK", Some("-1"), "RANK: expected this rank, below WORLD_SIZE=3, found \"-1\""),
            ("WORLD_SIZE", Some("0"), "WORLD_SIZE: expected the number of ranks, from 1 on, found 0"),
            (
                "WORLD_SIZE",
                Some("two"),
                "WORLD_SIZE: expected the number of ranks, up to 65536, found \"two\"",
            ),
            (
                "WORLD_SIZE",
                Some("65537"),
                "WORLD_SIZE: expected the number of ranks, up to 65536, found \"65537\"",
            ),
            ("LOCAL_RANK", Some(""), "LOCAL_RANK: expected this rank's GPU, found nothing"),
            ("MASTER_ADDR", None, "MASTER_ADDR: expected the address of rank 0, found nothing"),
            ("MASTER_PORT", Some("0"), "MASTER_PORT: expected a port on which rank 0 listens, found 0"),
            (
                "MASTER_PORT",
                Some("65536"),
                "MASTER_PORT: expected a port on which rank 0 listens, found \"65536\"",
            ),
        ] {
            assert_eq!(with(name, value).unwrap_err().to_string(), told);
        }
    }
}
