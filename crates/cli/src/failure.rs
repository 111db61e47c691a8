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
        f.write_str("interrupted, finished targets are kept")
    }
}

impl std::error::Error for Interrupted {}

/// Wraps any error as bad input, keeping its text.
pub fn bad_input(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::Error::new(BadInput(error.to_string()))
}

/// Prints the error chain on stderr, one line, and gives the exit code.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("ERROR  {error:#}");
    if error.chain().any(|e| e.is::<BadInput>()) {
        ExitCode::from(2)
    } else if error.chain().any(|e| e.is::<Interrupted>()) {
        ExitCode::from(130)
    } else {
        ExitCode::FAILURE
    }
}
