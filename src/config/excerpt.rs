//! One line of a text as a message shows it: where it is, how much of it, where the marks go, and how it reads mended.

use std::ops::Range;

/// The longest line that is shown whole, in characters; of longer ones the part around the fault is. A terminal's
/// width and a little more.
const EXCERPT_CHARS_MAX: usize = 160;

/// Where each line of a text begins; never empty.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let after_feeds = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_feeds).collect()
}

/// One line of a text and an octet in it.
pub(super) struct Line<'t> {
    text: &'t str,
    /// 0 is the first line.
    number: usize,
    /// The line's octets, without its end.
    range: Range<usize>,
    /// The octet asked for: on a character boundary, in the line or at its end.
    offset: usize,
}

impl<'t> Line<'t> {
    pub(super) fn at(text: &'t str, starts: &[usize], offset: usize) -> Line<'t> {
        let offset = text.floor_char_boundary(offset);
        // The first line begins at 0, so there is always one that begins at or before the offset.
        let number = starts.partition_point(|start| *start <= offset) - 1;
        let start = starts[number];
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = if text[start..end].ends_with('\r') {
            end - 1
        } else {
            end
        };
        Line {
            text,
            number,
            range: start..end,
            offset: offset.min(end),
        }
    }

    /// Line and column, both from 1.
    pub(super) fn position(&self) -> (u32, u32) {
        let column = self.text[self.range.start..self.offset].chars().count();
        // A text that one can hold may have more lines than a u32, but nobody writes it.
        (
            u32::try_from(self.number + 1).unwrap_or(u32::MAX),
            u32::try_from(column + 1).unwrap_or(u32::MAX),
        )
    }

    /// What is shown of the line, and where its marks go.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> (String, Range<usize>) {
        let end = self
            .text
            .floor_char_boundary(span.end)
            .clamp(self.offset, self.range.end);
        let before = self.text[self.range.start..self.offset].chars().count();
        let marked = self.text[self.offset..end].chars().count().max(1);
        let line = visible(&self.text[self.range.clone()]);
        if line.chars().count() <= EXCERPT_CHARS_MAX {
            return (line, before..before + marked);
        }
        let skipped = before.saturating_sub(EXCERPT_CHARS_MAX / 4);
        let shown: String = line.chars().skip(skipped).take(EXCERPT_CHARS_MAX).collect();
        let start = before - skipped;
        let stop = (start + marked).min(EXCERPT_CHARS_MAX);
        (shown, start..stop.max(start + 1))
    }

    /// The line with `span` replaced, its indent cut; only the new text where the line is long or `span` leaves it.
    pub(super) fn replace(&self, span: &Range<usize>, with: &str) -> String {
        let is_within =
            self.range.start <= span.start && span.end <= self.range.end && span.start <= span.end;
        let cut = (
            self.text.get(self.range.start..span.start),
            self.text.get(span.end..self.range.end),
        );
        match cut {
            (Some(before), Some(after)) if is_within && self.range.len() <= EXCERPT_CHARS_MAX => {
                format!("{before}{with}{after}").trim().to_owned()
            }
            _ => with.to_owned(),
        }
    }
}

/// Text that a terminal may be shown: each control, format or line-ending character as one space, so that columns
/// stay true.
pub(super) fn visible(text: &str) -> String {
    // Besides controls: the marks that reorder or hide text on a screen (Unicode 15, Bidi_Control and zero width).
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if is_hidden(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (excerpt, marks) = Line::at(&text, &[0], 500).excerpt(&(500..501));
        assert_eq!(excerpt.chars().count(), EXCERPT_CHARS_MAX);
        assert_eq!(&excerpt[marks], "X");
        assert_eq!(Line::at(&text, &[0], 500).replace(&(500..501), "Y"), "Y");
    }
}
