//! One subcommand a file: `Args` says what it takes, `run` does it.
