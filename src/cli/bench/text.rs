//! What was measured as people read it: for a terminal, and in Markdown.

use std::collections::BTreeMap;

use super::metric::Metric;
use super::series::{Comparison, SATURATED, Series};
use super::statistics::METHOD;

/// How the text is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// For a terminal.
    Plain,
    /// Markdown.
    Markdown,
}

/// Metrics whose ratios a terminal is shown; Markdown has them all.
const RATIOS_SHOWN: [Metric; 5] = [
    Metric::CpuMicros,
    Metric::Rate,
    Metric::P99,
    Metric::IdleOctets,
    Metric::IdleOctetsAfterBusy,
];

/// Everything of one series: its table, its ratios round by round, what has to be known.
pub(super) fn series(series: &Series, form: Form) -> String {
    let mut text = match form {
        Form::Plain => format!("{}\n", title(series)),
        Form::Markdown => format!("### {}\n\n", title(series)),
    };
    text += &table(&rows(series), form);
    if form == Form::Markdown {
        text += "\n";
    }
    for comparison in series.comparisons() {
        let is_shown = form == Form::Markdown
            || RATIOS_SHOWN.contains(&comparison.metric)
            || series.clients == 0;
        if is_shown {
            text += &line(&told(&comparison), form);
        }
    }
    for note in notes(series) {
        text += &line(&note, form);
    }
    text
}

/// How to read the brackets.
pub(super) fn legend(series: &[Series], form: Form) -> String {
    let mut coverages = BTreeMap::new();
    for series in series {
        for comparison in series.comparisons() {
            coverages.insert(comparison.ratios.len(), comparison.spread.coverage);
        }
    }
    if coverages.is_empty() {
        return String::new();
    }
    let of_each = coverages.iter().map(|(rounds, coverage)| {
        let percent = coverage * 100.0;
        match *coverage >= 0.95 {
            true => format!("{percent:.1} % with {rounds} rounds"),
            false => format!("only {percent:.1} % with {rounds} round(s), too few for 95"),
        }
    });
    let text = format!(
        "Figures are medians of rounds, errors sums. Ratios are made round by round; in brackets the interval of their \
         median by {METHOD}, that holds it with {}.",
        of_each.collect::<Vec<_>>().join(", ")
    );
    line(&text, form).trim_start_matches("- ").to_owned()
}

fn title(series: &Series) -> String {
    let void = match series.void_rounds {
        0 => String::new(),
        count => format!(", {count} void for steal"),
    };
    format!(
        "{}: {}; {} worker(s), load: {}, {} round(s){void}",
        series.profile,
        series.case,
        series.workers,
        series.load,
        series.rounds()
    )
}

fn rows(series: &Series) -> Vec<Vec<String>> {
    let metrics: Vec<(Metric, &str)> = series
        .metrics()
        .into_iter()
        .filter_map(|metric| Some((metric, metric.title()?)))
        .collect();
    let mut head = vec![String::new()];
    head.extend(metrics.iter().map(|(_, title)| (*title).to_owned()));
    let mut rows = vec![head];
    for column in &series.columns {
        let mut row = vec![column.name.clone()];
        row.extend(metrics.iter().map(|(metric, _)| {
            let value = column.summary(*metric);
            value.map_or("-".to_owned(), |value| metric.shown(value))
        }));
        rows.push(row);
    }
    rows
}

fn told(comparison: &Comparison) -> String {
    let ratios: Vec<String> = comparison
        .ratios
        .iter()
        .map(|ratio| format!("{ratio:.2}"))
        .collect();
    let of = comparison.metric.title().unwrap_or(comparison.metric.key());
    format!(
        "{} / {}, {of}: {:.3} ({:.3} to {:.3}); {} lost {} of {}: {}",
        comparison.ours,
        comparison.theirs,
        comparison.spread.median,
        comparison.spread.low,
        comparison.spread.high,
        comparison.ours,
        comparison.lost,
        comparison.ratios.len(),
        ratios.join(" ")
    )
}

/// What has to be known of a series, with those whose cores had rest.
pub(super) fn notes(series: &Series) -> Vec<String> {
    let mut notes = series.notes.clone();
    let resting: Vec<&str> = series
        .columns
        .iter()
        .filter(|column| series.is_unsaturated(column))
        .map(|column| column.name.as_str())
        .collect();
    if !resting.is_empty() {
        notes.push(format!(
            "not saturated, below {:.0} % of a core: {}; there requests/s is the load's or the origin's limit, or \
             somebody else used the core",
            SATURATED * 100.0,
            resting.join(", ")
        ));
    }
    notes
}

fn line(text: &str, form: Form) -> String {
    match form {
        Form::Plain => format!("  {text}\n"),
        Form::Markdown => format!("- {text}\n"),
    }
}

/// Rows of equally many cells, the first row being the head.
fn table(rows: &[Vec<String>], form: Form) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        if form == Form::Markdown {
            text += &format!("| {} |\n", row.join(" | "));
            if index == 0 {
                text += &format!("|---{}\n", "|--:".repeat(columns - 1) + "|");
            }
            continue;
        }
        let cells =
            row.iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:width$}"),
                    _ => format!("{cell:>width$}"),
                });
        let cells: Vec<String> = cells.collect();
        text += &format!("  {}\n", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::cores::Cores;
    use super::super::metric::Reading;
    use super::super::series::Column;
    use super::*;

    fn example() -> Series {
        let column = |name: &str, cpu: f64, busy: f64| Column {
            name: name.to_owned(),
            readings: vec![
                Reading::from([
                    (Metric::CpuMicros, cpu),
                    (Metric::Busy, busy),
                    (Metric::Errors, 1.0)
                ]);
                2
            ],
        };
        Series {
            profile: "keepalive",
            case: "64 clients".to_owned(),
            workers: 1,
            clients: 64,
            cores: Cores::divide(&[0, 1], 1),
            load: "wrk".to_owned(),
            is_saturating: true,
            columns: vec![column("nginx", 10.0, 0.99), column("hotgate", 12.0, 0.5)],
            pairs: vec![(1, 0)],
            void_rounds: 1,
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn a_series_on_a_terminal() {
        assert_eq!(
            series(&example(), Form::Plain),
            "keepalive: 64 clients; 1 worker(s), load: wrk, 2 round(s), 1 void for steal\n\
             \x20          CPU/request  core  errors\n\
             \x20 nginx       10.00 µs  99 %       2\n\
             \x20 hotgate     12.00 µs  50 %       2\n\
             \x20 hotgate / nginx, CPU/request: 1.200 (1.200 to 1.200); hotgate lost 2 of 2: 1.20 1.20\n\
             \x20 a note\n\
             \x20 not saturated, below 95 % of a core: hotgate; there requests/s is the load's or the origin's limit, \
             or somebody else used the core\n"
        );
    }

    #[test]
    fn a_series_in_markdown() {
        let text = series(&example(), Form::Markdown);
        assert!(text.contains("|  | CPU/request | core | errors |\n|---|--:|--:|--:|\n| nginx | 10.00 µs | 99 % | 2 |\n"));
        assert!(text.contains("- a note\n"));
    }

    #[test]
    fn too_few_rounds_are_told() {
        let text = legend(&[example()], Form::Plain);
        assert!(text.contains("only 50.0 % with 2 round(s)"), "{text}");
        assert_eq!(legend(&[], Form::Plain), "");
    }
}
