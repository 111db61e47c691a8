//! Lines to people and to programs. `println!` and `eprintln!` here take the place of std's, which panic
//! when the reader of a pipe has gone or a disk is full: work goes on, and [`lost`] says what was lost.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// Data on stdout.
macro_rules! println {
    ($($part:tt)*) => { $crate::console::data(format_args!($($part)*)) };
}

/// A line on stderr, for people.
macro_rules! eprintln {
    ($($part:tt)*) => { $crate::console::word(format_args!($($part)*)) };
}

static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line on stdout; what goes wrong is kept for [`lost`].
pub fn data(line: Arguments<'_>) {
    if cfg!(test) {
        return std::println!("{line}"); // captured by the test harness
    }
    let mut out = Data(io::stdout());
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush())
        && let Ok(mut lost) = LOST.lock()
    {
        *lost = Some(error);
    }
}

/// Writes a line on stderr. If that fails there is nobody to tell.
pub fn word(line: Arguments<'_>) {
    if cfg!(test) {
        return std::eprintln!("{line}");
    }
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A bar of `n` steps on stderr; nothing where that is no terminal.
pub fn bar(n: u64) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::with_draw_target(Some(n), indicatif::ProgressDrawTarget::stderr());
    let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    bar
}

/// Why data did not reach stdout, if it did not. A reader that left early (`head`) wanted no more.
pub fn lost() -> Option<io::Error> {
    LOST.lock().ok()?.take()
}

/// Standard output for tables.
pub fn out() -> impl Write {
    Data(io::stdout().lock())
}

/// Takes a reader that has gone for one that is content, and names the place in other errors.
struct Data<W>(W);

impl<W: Write> Write for Data<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        quiet(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        quiet(self.0.flush(), ())
    }
}

fn quiet<T>(outcome: io::Result<T>, done: T) -> io::Result<T> {
    outcome.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(done),
        kind => Err(io::Error::new(kind, format!("standard output: {error}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_left_is_content_a_full_disk_is_not() {
        let mut gone = Data(Fails(ErrorKind::BrokenPipe));
        assert!(writeln!(gone, "x").and_then(|()| gone.flush()).is_ok());
        let error = writeln!(Data(Fails(ErrorKind::StorageFull)), "x").unwrap_err();
        assert!(error.to_string().starts_with("standard output: "), "{error}");
    }
}
