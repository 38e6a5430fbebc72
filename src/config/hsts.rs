//! `hsts`: for how long browsers come by HTTPS alone (RFC 6797).

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostic::{Fault, Faults, INCOMPLETE};
use super::keys::{Level, refuse};
use super::model_tls::Hsts;
use super::raw::{Entry, SWITCH, set};
use super::tree::Value;

/// 0 tells browsers to forget it (RFC 6797 §6.1.1); ten years are longer than any browser remembers.
const MAX_AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3650 * 86_400);

/// What the list that browsers are built with asks for: <https://hstspreload.org/#submission-requirements>.
const PRELOAD_AGE_MIN: Duration = Duration::from_secs(31_536_000);

const EXPECTED: &str = "a duration such as \"180d\", a table with `max_age`, or \"off\"";

/// Reads the value; `Some(None)` is off.
pub(super) fn hsts(entry: &Entry, faults: &mut Faults) -> Option<Option<Hsts>> {
    let before = faults.count();
    let (mut max_age, mut subdomains, mut preload) = (None, false, false);
    match entry.value {
        Value::Table(_) => {
            for entry in entry.table(EXPECTED, faults)? {
                match entry.name {
                    "max_age" => max_age = age(&entry, "a duration such as \"180d\"", faults),
                    "subdomains" => set(&mut subdomains, entry.boolean(SWITCH, faults)),
                    "preload" => set(&mut preload, entry.boolean(SWITCH, faults)),
                    _ => refuse(&entry, Level::Hsts, faults),
                }
            }
            if max_age.is_none() && faults.count() == before {
                let message = "`hsts` needs `max_age`";
                let fault = Fault::new(INCOMPLETE, entry.key.clone(), message);
                faults.error(fault.write("max_age = \"180d\""));
            }
        }
        Value::String(_) if entry.value.as_str() == Some("off") => return Some(None),
        Value::String(_) | Value::Integer(_) => max_age = age(entry, EXPECTED, faults),
        Value::Boolean(is_on) => {
            let meant = if *is_on { "\"180d\"" } else { "\"off\"" };
            let fault = entry.wrong_type(EXPECTED);
            faults.error(fault.replace(entry.span.clone(), meant));
        }
        Value::Float | Value::Datetime | Value::List(_) => faults.error(entry.wrong_type(EXPECTED)),
    }
    let max_age = max_age?;
    if preload && (max_age < PRELOAD_AGE_MIN || !subdomains) {
        let message = "`preload` needs a `max_age` of 365d and `subdomains`";
        let fault = Fault::new("bad-value", entry.span.clone(), message);
        faults.error(fault.label("browsers' lists take no less"));
    }
    (faults.count() == before).then_some(Some(Hsts {
        max_age,
        subdomains,
        preload,
    }))
}

fn age(entry: &Entry, expected: &str, faults: &mut Faults) -> Option<Duration> {
    let age = entry.duration(MAX_AGE, expected, faults)?;
    if age.subsec_nanos() > 0 {
        let message = format!("`{}` is in whole seconds", entry.name);
        faults.error(Fault::new("bad-value", entry.span.clone(), message));
        return None;
    }
    Some(age)
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    /// As the settings have it, or the code of the first fault and its mend.
    fn read(value: &str) -> Result<Option<(u64, bool, bool)>, String> {
        let text = format!("[defaults]\nhsts = {value}");
        let source = Source {
            name: "f",
            text: &text,
        };
        match parse(&[source]) {
            Ok(config) => Ok(config
                .defaults
                .hsts
                .map(|hsts| (hsts.max_age.as_secs(), hsts.subdomains, hsts.preload))),
            Err(errors) => Err(format!("{} {}", errors[0].code, errors[0].mend)),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn values() {
        #[track_caller]
        fn check(value: &str, expected: Result<Option<(u64, bool, bool)>, &str>) {
            assert_eq!(read(value), expected.map_err(str::to_owned), "{value}");
        }
        check("\"180d\"",                                  Ok(Some((15_552_000, false, false))));
        check("\"0s\"",                                    Ok(Some((0, false, false))));
        check("\"off\"",                                   Ok(None));
        check("{ max_age = \"1h\", subdomains = true }",   Ok(Some((3600, true, false))));
        check("{ max_age = \"365d\", subdomains = true, preload = true }", Ok(Some((31_536_000, true, true))));
        check("{ max_age = \"364d\", subdomains = true, preload = true }", Err("bad-value "));
        check("{ max_age = \"365d\", preload = true }",    Err("bad-value "));
        check("{ subdomains = true }",                     Err("incomplete max_age = \"180d\""));
        check("{ max_age = \"1h\", include_subdomains = true }", Err("unknown-key "));
        check("true",                                      Err("wrong-type hsts = \"180d\""));
        check("false",                                     Err("wrong-type hsts = \"off\""));
        check("31536000",                                  Err("no-unit hsts = \"31536000s\""));
        check("\"1500ms\"",                                Err("bad-value "));
        check("\"3651d\"",                                 Err("out-of-range "));
        check("[]",                                        Err("wrong-type "));
    }
}
