//! The one way for a test to say that it could not run.
//!
//! A test that lacks something (an app's packages, `strace`, root) calls `skip!("reason")` and returns. The
//! line `skipped: NAME: reason` is printed and, because runners hide what passing tests print, also appended
//! to the file that `HOTGATE_TEST_SKIPS` names. `tests/run.sh` shows those lines and fails when one of them
//! is in `tests/required.txt`.

use std::{fs::OpenOptions, io::Write as _};

/// Reports the running test function as skipped and returns from it.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        fn here() {}
        $crate::support::skip::report(std::any::type_name_of_val(&here), &format!($($reason)*));
        return;
    }};
}

/// The value of a `Result<_, String>`, or the end of the running test function as skipped for that reason.
#[macro_export]
macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => $crate::skip!("{reason}"),
        }
    };
}

/// Writes the line for the test that contains the function named `here` (`binary::test::here`).
pub fn report(here: &str, reason: &str) {
    let name = here.trim_end_matches("::here");
    let line = format!("skipped: {name}: {reason}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("HOTGATE_TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the file for skipped tests opens");
        file.write_all(line.as_bytes())
            .expect("the file for skipped tests takes a line");
    }
}
