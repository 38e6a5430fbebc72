//! Can the ports be had, and if not, who has them?

use std::io;

use super::finding::{Finding, Mark};
use crate::config::{Config, ListenAddress};
use crate::control::ports::{BindError, Holder, bind_for};

/// Tries every listener of a configuration, for a moment.
pub fn ports(config: &Config) -> Vec<Finding> {
    config
        .listeners()
        .iter()
        .map(|listener| port(listener.address))
        .collect()
}

/// Tries one address.
pub fn port(address: ListenAddress) -> Finding {
    match bind_for(address, 1) {
        Ok(_) => Finding::new(Mark::Good, "port", address.to_string(), "the port is free"),
        Err(error) => of_error(&error),
    }
}

fn of_error(error: &BindError) -> Finding {
    let subject = error.wanted.to_string();
    let bad = |what: String| Finding::new(Mark::Bad, "port", subject.clone(), what);
    match (error.error.kind(), &error.holder) {
        (io::ErrorKind::AddrInUse, Some(holder)) if holder.is_hotgate() => Finding::new(
            Mark::Good,
            "port",
            subject.clone(),
            format!("the running hotgate has it, pid {}", holder.pid),
        ),
        (io::ErrorKind::AddrInUse, Some(holder)) => bad(format!("{holder} has the port")).mend(mend(holder)),
        (io::ErrorKind::AddrInUse, None) => bad("the port is in use, by whom only root may see".to_owned())
            .mend("sudo hotgate check --ports"),
        (io::ErrorKind::PermissionDenied, _) => bad("this user may not listen below port 1024".to_owned()).mend(
            "sudo, a service with AmbientCapabilities=CAP_NET_BIND_SERVICE, or\nsudo setcap cap_net_bind_service=+ep \"$(command -v hotgate)\"",
        ),
        (io::ErrorKind::AddrNotAvailable, _) => bad("this machine does not have the address".to_owned())
            .mend("`ip -brief address` lists those it has; \":PORT\" is all of them"),
        (_, _) => bad(error.error.to_string()),
    }
}

fn mend(holder: &Holder) -> String {
    match &holder.unit {
        Some(unit) => format!("sudo systemctl disable --now {unit}"),
        None => format!(
            "stop {} (pid {}), or choose another port in server.http",
            holder.name, holder.pid
        ),
    }
}
