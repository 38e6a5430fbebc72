//! Every split point: the one function by which this folder's tests feed their input.

use std::fmt::Debug;

/// Calls `run` with `input` whole, in two pieces at every cut, and octet by octet; all must give one
/// answer, which is returned. No piece is empty, except that an empty input is no piece at all.
#[track_caller]
pub(crate) fn every_split<T: PartialEq + Debug>(input: &[u8], run: impl Fn(&[&[u8]]) -> T) -> T {
    let whole: Vec<&[u8]> = if input.is_empty() {
        vec![]
    } else {
        vec![input]
    };
    let answer = run(&whole);
    for cut in 1..input.len() {
        let (left, right) = input.split_at(cut);
        assert_eq!(
            answer,
            run(&[left, right]),
            "cut at {cut} of {:?}",
            input.escape_ascii().to_string()
        );
    }
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(
        answer,
        run(&octets),
        "octet by octet: {:?}",
        input.escape_ascii().to_string()
    );
    answer
}

/// The same for a reader of a growing buffer: `read` sees all octets so far, each time at another address,
/// until it answers. `None` means that it wants more.
#[track_caller]
pub(crate) fn every_prefix<R, T: PartialEq + Debug>(
    input: &[u8],
    reader: impl Fn() -> R,
    read: impl Fn(&mut R, &[u8]) -> Option<T>,
) -> Option<T> {
    every_split(input, |pieces| {
        let mut reader = reader();
        let mut buffer = Vec::new();
        for piece in pieces {
            buffer = [buffer.as_slice(), piece].concat();
            if let Some(answer) = read(&mut reader, &buffer) {
                return Some(answer);
            }
        }
        None
    })
}
