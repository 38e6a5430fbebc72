//! Text that fits a terminal of eighty columns.

/// What a terminal has at the least.
pub(super) const COLUMNS: usize = 80;

/// The text in lines of at most `width` characters, parted at spaces. A longer word stands alone on its line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What came from a command line, a file or a peer, without what moves a cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parted_at_spaces() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(wrapped(text, 7), expected);
        }
        check("", &[""]);
        check("one", &["one"]);
        check("one two", &["one two"]);
        check("one two three", &["one two", "three"]);
        check(
            "one longer-than-that two",
            &["one", "longer-than-that", "two"],
        );
        check("é é é é é", &["é é é é", "é"]);
    }
}
