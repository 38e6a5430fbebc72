//! Where each setting was given: what `explain` and `check --dump` say beside a value.

use super::place::Place;

/// The places of the settings of one route, or of the defaults. What has none is built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<(String, Place)>);

impl Origins {
    /// Where `key` was given: `to`, `host`, `timeouts.connect`, as `list-keys` names it. `None` for a built-in default.
    pub fn of(&self, key: &str) -> Option<&Place> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, place)| place)
    }

    /// A nearer place for `key`.
    pub(super) fn note(&mut self, key: impl Into<String>, place: Place) {
        let key = key.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = place,
            None => self.0.push((key, place)),
        }
    }

    /// The place of `key` is no longer of use.
    pub(super) fn forget(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }
}
