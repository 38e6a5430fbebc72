//! `hotgate routes`: every site and path with its action, and where it stands.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Exit;
use super::files::read;
use super::json::print_facts;
use super::talk::print;
use crate::config::{Action, Config, Route, Settings, Site};

/// Prints all routes, listener by listener.
pub(super) fn routes(named: &[PathBuf], is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    if is_json {
        print_facts(as_json(&config));
    } else {
        print(&config.secrets.mask(&as_text(&config)));
    }
    Exit::Fine
}

fn as_text(config: &Config) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut text = String::new();
    for listener in config.listeners() {
        rows.push([
            listener.address.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        for site in listener.sites.iter().map(|index| &config.sites[*index]) {
            for (route, outer) in with_outer(site, config) {
                let name = match route.name.as_str() {
                    "/" => site.name.clone(),
                    _ => String::new(),
                };
                rows.push([
                    format!("  {name}"),
                    route.name.clone(),
                    told(route, outer),
                    source(route, site),
                ]);
            }
        }
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    for [host, path, action, source] in &rows {
        let line = format!(
            "{host:0$}  {path:1$}  {action:2$}  {source}",
            widths[0], widths[1], widths[2]
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Each route and the settings that it would have without its own.
fn with_outer<'c>(
    site: &'c Site,
    config: &'c Config,
) -> impl Iterator<Item = (&'c Route, &'c Settings)> {
    let whole = site
        .routes
        .first()
        .map_or(&config.defaults, |route| &route.settings);
    site.routes
        .iter()
        .enumerate()
        .map(move |(index, route)| match index {
            0 => (route, &config.defaults),
            _ => (route, whole),
        })
}

/// The action and the settings of the route's own.
fn told(route: &Route, outer: &Settings) -> String {
    let mut told = action(&route.action);
    for (key, value) in own(route, outer) {
        let _ = write!(told, ", {key} = {value}");
    }
    told
}

fn own(route: &Route, outer: &Settings) -> Vec<(String, String)> {
    let mut own = Vec::new();
    if route.settings.strip {
        own.push(("strip".to_owned(), "true".to_owned()));
    }
    let pairs = route.settings.shown().into_iter().zip(outer.shown());
    own.extend(
        pairs
            .filter(|(ours, outer)| ours != outer)
            .map(|(ours, _)| ours),
    );
    own
}

fn action(action: &Action) -> String {
    match action {
        Action::Proxy(endpoints) => {
            let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            format!("to {}", endpoints.join(", "))
        }
        Action::Whoami => "builtin whoami".to_owned(),
        Action::None => "404".to_owned(),
    }
}

fn source(route: &Route, site: &Site) -> String {
    match site.is_generated {
        true => format!("{} (generated)", route.place),
        false => route.place.to_string(),
    }
}

fn as_json(config: &Config) -> Value {
    let listeners = config.listeners();
    let listener = |listener: &crate::config::Listener| {
        let sites = listener.sites.iter().map(|index| &config.sites[*index]);
        json!({
            "address": listener.address.to_string(),
            "sites": sites.map(|site| site_as_json(site, config)).collect::<Vec<_>>(),
        })
    };
    json!({ "listeners": listeners.iter().map(listener).collect::<Vec<_>>() })
}

fn site_as_json(site: &Site, config: &Config) -> Value {
    let mask = |text: String| config.secrets.mask(&text);
    let route = |(route, outer): (&Route, &Settings)| {
        let targets = match &route.action {
            Action::Proxy(endpoints) => endpoints.iter().map(|one| mask(one.to_string())).collect(),
            Action::Whoami | Action::None => Vec::new(),
        };
        let kind = match &route.action {
            Action::Proxy(_) => "to",
            Action::Whoami => "builtin",
            Action::None => "none",
        };
        let settings: serde_json::Map<String, Value> = own(route, outer)
            .into_iter()
            .map(|(key, value)| (key, Value::String(mask(value))))
            .collect();
        json!({
            "path": route.name,
            "action": kind,
            "targets": targets,
            "settings": settings,
            "source": route.place.to_string(),
        })
    };
    json!({
        "site": mask(site.name.clone()),
        "generated": site.is_generated,
        "source": site.place.to_string(),
        "paths": with_outer(site, config).map(route).collect::<Vec<_>>(),
    })
}
