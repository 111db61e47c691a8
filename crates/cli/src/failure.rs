//! How a command ends: 0 done, 1 failed, 2 bad usage or input, 130 interrupted.

use std::process::ExitCode;

/// The user's input cannot be used; the program ends with exit code 2.
#[derive(Debug)]
pub struct BadInput(pub String);

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// Stopped by the user; finished work was kept; exit code 130.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted, what was finished is kept")
    }
}

impl std::error::Error for Interrupted {}

/// Wraps any error as bad input, keeping its text.
pub fn bad_input(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::Error::new(BadInput(error.to_string()))
}

/// Prints the error chain on stderr and gives the exit code.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let outcome = outcome.and_then(|()| crate::console::lost().map_or(Ok(()), |lost| Err(lost.into())));
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("ERROR  {}", text(&error));
    code(&error).into()
}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|e| e.is::<BadInput>()) {
        2
    } else if error.chain().any(|e| e.is::<Interrupted>()) {
        130
    } else {
        1
    }
}

/// The chain from the outside in; a cause that the words before it already tell is not repeated.
pub fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Tells(std::io::Error);

    impl std::fmt::Display for Tells {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "x.npz: {}", self.0)
        }
    }

    impl std::error::Error for Tells {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn no_cause_is_said_twice() {
        let error = anyhow::Error::new(Tells(std::io::Error::other("no space"))).context("import");
        assert_eq!(text(&error), "import: x.npz: no space");
        assert_eq!(text(&bad_input("a").context("b")), "b: a");
    }
}
