//! Did you mean …: the nearest of a few words by edit distance.

/// The candidate that is nearest to `word`, if it is near enough to be a slip of the fingers: a third of the longer
/// word's letters may differ, at least one. Case and `-` for `_` cost nothing. The first of equals. Failing that, one
/// that it begins, or that begins it (`warning`, `warn`).
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // A word this long is no slip of ours; the distance would cost its length times ours.
    const WORD_BYTES_MAX: usize = 40;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let word = fold(word);
    let candidates: Vec<&str> = candidates.collect();
    let distances = candidates
        .iter()
        .map(|candidate| (distance(&word, &fold(candidate)), *candidate));
    let (edits, candidate) = distances.min_by_key(|(edits, _)| *edits)?;
    let edits_max = (word.chars().count().max(candidate.len()) / 3).max(1);
    if edits <= edits_max {
        return Some(candidate);
    }
    const START_BYTES_MIN: usize = 4;
    let shares_start = |candidate: &&str| {
        let has_start = candidate.starts_with(&word) || word.starts_with(*candidate);
        has_start && candidate.len().min(word.len()) >= START_BYTES_MIN
    };
    candidates.into_iter().find(shares_start)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other (optimal string
/// alignment).
fn distance(source: &str, target: &str) -> usize {
    let (source, target): (Vec<char>, Vec<char>) =
        (source.chars().collect(), target.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=target.len()).collect()];
    for i in 1..=source.len() {
        let mut row = vec![i];
        for j in 1..=target.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(source[i - 1] != target[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && source[i - 1] == target[j - 2] && source[i - 2] == target[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[source.len()][target.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        #[track_caller]
        fn check(source: &str, target: &str, expected: usize) {
            assert_eq!(distance(source, target), expected);
            assert_eq!(distance(target, source), expected);
        }
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("abc", "abd", 1);
        check("abc", "acb", 1);
        check("abcd", "badc", 2);
        check("ca", "abc", 3);
        check("kitten", "sitting", 3);
        check("timeouts", "timeotus", 1);
        check("header", "haeder", 1);
        check("ü", "u", 1);
    }

    #[test]
    fn nearest_words() {
        #[track_caller]
        fn check(word: &str, expected: Option<&str>) {
            assert_eq!(
                nearest(word, ["header", "keepalive", "body_idle", "to"].into_iter()),
                expected,
                "{word}"
            );
        }
        check("heder", Some("header"));
        check("headers", Some("header"));
        check("keep_alive", Some("keepalive"));
        check("body-idle", Some("body_idle"));
        check("Body_Idle", Some("body_idle"));
        check("bodyidle", Some("body_idle"));
        check("ot", Some("to"));
        check("keep", Some("keepalive"));
        check("header_timeout", Some("header"));
        check("kee", None);
        check("token", None);
        // At the bound and past it: two of six letters may differ, not three; one of two, not both.
        check("haedre", Some("header"));
        check("hxxxer", None);
        check("tp", Some("to"));
        check("xy", None);
        check("colour", None);
        check("", None);
        check(&"header".repeat(10), None);
    }
}
