//! What a site points to: the value of `to`, an address, the name of an upstream, or a list of these.

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::model::{Destination, Target};
use super::raw::Entry;
use super::target;
use super::upstreams::{ENDPOINTS_MAX, Named, Upstreams, fault_of_name};
use crate::policy::pipeline::Pipeline;

/// What a message says that a target is.
const EXPECTED: &str = "a port, \"HOST:PORT\", \"https://HOST\", \"unix:/PATH\", the name of an upstream or a list of these";

/// As many names as a message lists.
const NAMES_SHOWN_MAX: usize = 8;

/// Reads the value of `to`, or of a site or path in its short form. Reports every faulty element. Without `upstreams`
/// there are addresses alone, as in generated sites.
pub(super) fn destination(
    entry: &Entry,
    upstreams: Option<&Upstreams>,
    faults: &mut Faults,
) -> Option<Destination> {
    let items = match entry.value.is_list() {
        true => entry.list(EXPECTED, faults)?,
        false => vec![entry.clone()],
    };
    let refuse = |message: String, faults: &mut Faults| {
        faults.error(Fault::new("bad-target", entry.span.clone(), message));
    };
    if items.is_empty() {
        let message = format!("the targets of `{}` are an empty list", entry.name);
        refuse(message, faults);
        return None;
    }
    let mut found = Destination {
        targets: Vec::new(),
        addresses: Vec::new(),
        pipeline: Pipeline::Off,
    };
    let mut is_faulty = false;
    for item in &items {
        if found.addresses.len() > ENDPOINTS_MAX {
            break;
        }
        match part(item, upstreams, faults) {
            Some(part) => is_faulty |= !add(&mut found, part, item, faults),
            None => is_faulty = true,
        }
    }
    if found.addresses.len() > ENDPOINTS_MAX {
        let message = format!("`{}` has more than {ENDPOINTS_MAX} targets", entry.name);
        refuse(message, faults);
        return None;
    }
    (!is_faulty).then_some(found)
}

/// Puts what one element says behind the others'; false if it does not go with them.
fn add(found: &mut Destination, part: Destination, item: &Entry, faults: &mut Faults) -> bool {
    let mut refuse = |code, message: String, label: &str| {
        faults.error(Fault::new(code, item.span.clone(), message).label(label));
        false
    };
    let is_there = |target: &&Target| found.targets.contains(target);
    if let Some(target) = part.targets.iter().find(is_there) {
        let message = format!("the target {target} is given twice");
        return refuse("duplicate-target", message, "");
    }
    let mut addresses = part.addresses.iter();
    if let Some(address) = addresses.find(|address| found.addresses.contains(address)) {
        let message = format!("the target {address} is given twice");
        return refuse("duplicate-target", message, "an upstream has it too");
    }
    if found.targets.is_empty() {
        found.pipeline = part.pipeline;
    } else if found.pipeline != part.pipeline {
        let message = format!(
            "`{}` mixes targets with `pipeline` {} and {}",
            item.name, found.pipeline, part.pipeline
        );
        let mend = "put all of them into the `servers` of one upstream";
        return refuse("mixed-pipeline", message, mend);
    }
    found.targets.extend(part.targets);
    found.addresses.extend(part.addresses);
    true
}

/// What one element says alone.
fn part(entry: &Entry, upstreams: Option<&Upstreams>, faults: &mut Faults) -> Option<Destination> {
    let name = entry.value.as_str().filter(|_| !entry.is_expanded_number());
    let named = name.and_then(|name| named(name, upstreams));
    match (named, name) {
        (Some(Named::Upstream(upstream)), Some(name)) => Some(Destination {
            targets: vec![Target::Upstream(name.to_owned())],
            addresses: upstream.servers.clone(),
            pipeline: upstream.pipeline,
        }),
        (Some(Named::Faulty), _) => None,
        (Some(Named::Unknown), Some(name)) => {
            faults.error(unknown(name, entry, upstreams));
            None
        }
        (Some(_) | None, _) => {
            let address = target::address(entry, EXPECTED, faults)?;
            Some(Destination {
                targets: vec![Target::Address(address.clone())],
                addresses: vec![address],
                pipeline: Pipeline::Off,
            })
        }
    }
}

/// What a text stands for if it is a name: whatever could be `host:port` is not, nor is a port in quotes.
fn named<'u>(text: &str, upstreams: Option<&'u Upstreams>) -> Option<Named<'u>> {
    let is_known = upstreams.is_some_and(|upstreams| upstreams.has(text));
    if !is_known && fault_of_name(text).is_some() {
        return None;
    }
    Some(upstreams.map_or(Named::Unknown, |upstreams| upstreams.named(text)))
}

fn unknown(name: &str, entry: &Entry, upstreams: Option<&Upstreams>) -> Fault {
    let Some(upstreams) = upstreams else {
        let message = "a generated site points to addresses, not to names";
        return Fault::new("bad-target", entry.span.clone(), message);
    };
    let message = format!("there is no upstream `{name}`");
    let fault = Fault::new("unknown-upstream", entry.span.clone(), message);
    let names = upstreams.names();
    if let Some(meant) = edit::nearest(name, names.iter().copied()) {
        return fault
            .label(format!("did you mean `{meant}`?"))
            .replace(entry.span.clone(), format!("{meant:?}"));
    }
    fault.label(match names.as_slice() {
        [] => format!(
            "an address has a port: \"{name}:3000\"; a name has a table: `[upstreams.{name}]`"
        ),
        names if names.len() <= NAMES_SHOWN_MAX => {
            format!("the upstreams are {}", names.join(", "))
        }
        names => format!(
            "the upstreams are {} and {} more",
            names[..NAMES_SHOWN_MAX].join(", "),
            names.len() - NAMES_SHOWN_MAX
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::Pipeline;
    use crate::config::{Action, Source, parse};

    const UPSTREAMS: &str = "[upstreams.api]\nservers = [1, 2]\n[upstreams.web]\nservers = \"h:3\"\n\
        [upstreams.fast]\nservers = 4\npipeline = \"auto\"\n[upstreams.quick]\nservers = 5\npipeline = \"auto\"\n\
        [upstreams.deep]\nservers = 6\npipeline = 8\n";

    /// Targets, addresses and pipelining of one route; an error's code.
    fn read(to: &str) -> String {
        let text = format!("{UPSTREAMS}[sites]\n\"http://h\" = {to}");
        let config = match parse(&[Source {
            name: "f",
            text: &text,
        }]) {
            Ok(config) => config,
            Err(errors) => return errors[0].code.to_owned(),
        };
        let Action::Proxy(found) = &config.sites[0].routes[0].action else {
            panic!("{to} is passed on")
        };
        let shown = |parts: Vec<String>| parts.join("+");
        let targets = shown(found.targets.iter().map(ToString::to_string).collect());
        let addresses = shown(found.addresses.iter().map(ToString::to_string).collect());
        match found.pipeline {
            Pipeline::Off => format!("{targets} = {addresses}"),
            pipeline => format!("{targets} = {addresses}, {pipeline}"),
        }
    }

    #[test]
    fn names_and_addresses() {
        #[track_caller]
        fn check(to: &str, expected: &str) {
            assert_eq!(read(to), expected, "{to}");
            assert_eq!(read(&format!("{{ to = {to} }}")), expected, "{to}");
        }
        check("9", "9 = 9");
        check("\"api\"", "api = 1+2");
        check("[\"api\"]", "api = 1+2");
        check("[\"api\", \"web\", 9]", "api+web+9 = 1+2+h:3+9");
        check("\"api:80\"", "api:80 = api:80");
        check("\"fast\"", "fast = 4, auto");
        check("[\"fast\", \"quick\"]", "fast+quick = 4+5, auto");
        check("\"deep\"", "deep = 6, 8");
        check("\"API\"", "unknown-upstream");
        check("\"other\"", "unknown-upstream");
        check("[\"api\", \"api\"]", "duplicate-target");
        check("[\"api\", 2]", "duplicate-target");
        check("[2, \"api\"]", "duplicate-target");
        check("[\"api\", \"fast\"]", "mixed-pipeline");
        check("[9, \"fast\"]", "mixed-pipeline");
        check("[\"fast\", \"deep\"]", "mixed-pipeline");
        check("\"9\"", "bad-target");
        check("\"a.b\"", "bad-target");
        check("\"a b\"", "bad-target");
        check("\"\"", "bad-target");
        check("[]", "bad-target");
        check("[{ address = 1 }]", "wrong-type");
    }
}
