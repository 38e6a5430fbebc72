//! Do the names resolve: those of targets, and those of the sites themselves, to this machine?

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::{Finding, Mark};
use crate::config::{Action, Config, EndpointAddress, HostPattern, is_local_name};
use crate::control::live::LOOKUP_LIMIT;

/// What a look-up found.
type Answer = Result<Vec<IpAddr>, String>;

/// Looks up every name that a target or a public site has, all at once.
pub fn names(config: &Config) -> Vec<Finding> {
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for site in &config.sites {
        for route in &site.routes {
            let Action::Proxy(to) = &route.action else {
                continue;
            };
            for endpoint in &to.addresses {
                if let EndpointAddress::Tcp { host, .. } | EndpointAddress::Https { host, .. } =
                    endpoint
                    && host.parse::<IpAddr>().is_err()
                {
                    let sites = targets.entry(host.clone()).or_default();
                    if !sites.contains(&site.name) {
                        sites.push(site.name.clone());
                    }
                }
            }
        }
    }
    let public: BTreeSet<String> = config
        .sites
        .iter()
        .filter_map(|site| match &site.host {
            HostPattern::Exact(host) if !is_local_name(host) && host.ip().is_none() => {
                Some(host.as_str().to_owned())
            }
            HostPattern::Exact(_) | HostPattern::Wildcard(_) | HostPattern::Any => None,
        })
        .collect();
    let wanted = targets.keys().chain(&public).cloned().collect();
    let answers = look_up(wanted);
    let answer = |name: &String| -> Answer {
        let found = answers.get(name).cloned();
        found.unwrap_or_else(|| Err("not looked up".to_owned()))
    };
    let of_targets = targets
        .iter()
        .map(|(name, sites)| of_target(name, sites, &answer(name)));
    let of_sites = public
        .iter()
        .map(|name| of_site(name, &answer(name), is_own));
    of_targets.chain(of_sites).collect()
}

/// A public name of a site: does it lead here?
pub fn site_name(name: &str) -> Finding {
    let answers = look_up(BTreeSet::from([name.to_owned()]));
    let answer = answers.get(name).cloned();
    of_site(
        name,
        &answer.unwrap_or_else(|| Err("not looked up".to_owned())),
        is_own,
    )
}

fn of_target(name: &str, sites: &[String], answer: &Answer) -> Finding {
    match answer {
        Ok(addresses) => Finding::new(Mark::Good, "target-name", name, listed(addresses)),
        Err(why) => Finding::new(
            Mark::Warning,
            "target-name",
            name,
            format!("the target's name does not resolve: {why}; quarantined, until it does 503 is the answer of {}", sites.join(", ")),
        )
        .mend("mend the name in `to`, or the DNS; it is looked up again by itself"),
    }
}

fn of_site(name: &str, answer: &Answer, is_own: impl Fn(IpAddr) -> bool) -> Finding {
    match answer {
        Ok(addresses) if addresses.iter().all(|ip| is_own(*ip)) => Finding::new(
            Mark::Good,
            "site-name",
            name,
            format!("leads to this machine, {}", listed(addresses)),
        ),
        Ok(addresses) => {
            let others: Vec<IpAddr> = addresses
                .iter()
                .copied()
                .filter(|ip| !is_own(*ip))
                .collect();
            Finding::new(
                Mark::Warning,
                "site-name",
                name,
                format!("leads to {}, which no interface of this machine has", listed(&others)),
            )
            .mend("behind NAT or a proxy such as Cloudflare that is as it should be; else mend the A and AAAA records")
        }
        Err(why) => Finding::new(
            Mark::Warning,
            "site-name",
            name,
            format!("does not resolve: {why}"),
        )
        .mend(format!(
            "add a record at your DNS provider: {name}. A <address of this machine>"
        )),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// An address can be bound here if, and only if, it is ours.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

async fn look_up_one(name: &str) -> Answer {
    match timeout(LOOKUP_LIMIT, lookup_host((name, 0))).await {
        Ok(Ok(addresses)) => {
            let mut addresses: Vec<IpAddr> = addresses.map(|one| one.ip()).collect();
            addresses.sort();
            addresses.dedup();
            Ok(addresses)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", LOOKUP_LIMIT.as_secs())),
    }
}

fn look_up(names: BTreeSet<String>) -> BTreeMap<String, Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return BTreeMap::new();
    };
    let found = runtime.block_on(async {
        let mut asked = JoinSet::new();
        for name in names {
            asked.spawn(async move {
                let answer = look_up_one(&name).await;
                (name, answer)
            });
        }
        asked.join_all().await.into_iter().collect()
    });
    // A look-up that hangs in its helper thread does not keep us.
    runtime.shutdown_background();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_leads_here_or_elsewhere_or_nowhere() {
        let ours = |ip: IpAddr| ip == IpAddr::from([192, 0, 2, 1]);
        let answer =
            |addresses: &[[u8; 4]]| Ok(addresses.iter().map(|one| IpAddr::from(*one)).collect());
        for (answer, mark, part) in [
            (
                answer(&[[192, 0, 2, 1]]),
                Mark::Good,
                "leads to this machine",
            ),
            (
                answer(&[[192, 0, 2, 1], [192, 0, 2, 2]]),
                Mark::Warning,
                "leads to 192.0.2.2, which",
            ),
            (
                Err("no such name".to_owned()),
                Mark::Warning,
                "does not resolve: no such name",
            ),
        ] {
            let finding = of_site("example.com", &answer, ours);
            assert_eq!(finding.mark, mark);
            assert!(finding.what.contains(part), "{finding}");
        }
    }
}
