//! From the `toml` crate's tree to ours: ranges shifted, strings and keys expanded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Faults;
use super::duplicates;
use super::expand::Expander;
use super::tree::{Digits, Member, Node, Value};

/// Turns one source's tree into ours: ranges shifted by `base`, strings expanded. Reports what cannot be expanded, and
/// keys that are the same only after it.
pub(super) fn grow(
    table: &DeTable,
    base: usize,
    expander: &mut Expander,
    faults: &mut Faults,
) -> Vec<Member> {
    let mut members: Vec<Member> = table
        .iter()
        .map(|(key, value)| member(key, value, base, expander, faults))
        .collect();
    members.sort_by_key(|member| member.key.start);
    let mut first_places: HashMap<String, usize> = HashMap::new();
    members.retain(|member| {
        let first = first_places
            .insert(member.name.clone(), member.key.start)
            .map(|first| faults.place(first));
        let Some(first) = first else { return true };
        faults.error(duplicates::fault(&member.name, member.key.clone(), &first));
        false
    });
    members
}

fn member(
    key: &Spanned<Cow<str>>,
    value: &Spanned<DeValue>,
    base: usize,
    expander: &mut Expander,
    faults: &mut Faults,
) -> Member {
    let span = shifted(key.span(), base);
    Member {
        name: expander.expand(key.get_ref(), &span, faults).text,
        key: span,
        value: grown(value, base, expander, faults),
        span: shifted(value.span(), base),
    }
}

fn grown(
    value: &Spanned<DeValue>,
    base: usize,
    expander: &mut Expander,
    faults: &mut Faults,
) -> Value {
    match value.get_ref() {
        DeValue::String(text) => {
            Value::String(expander.expand(text, &shifted(value.span(), base), faults))
        }
        DeValue::Integer(digits) => Value::Integer(Digits {
            digits: digits.as_str().to_owned(),
            radix: digits.radix(),
        }),
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    value: grown(item, base, expander, faults),
                    span: shifted(item.span(), base),
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(grow(table, base, expander, faults)),
    }
}

fn shifted(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}
