//! What is never printed: the texts that `${file:…}` and `${cred:…}` stand for.

/// What came from `${file:…}` and `${cred:…}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// `text` with every secret in it as `***`. All that is printed of a configuration goes through here.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.0 {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), "***");
            }
        }
        masked
    }

    /// A secret, to be masked from now on.
    pub(super) fn add(&mut self, secret: &str) {
        if !secret.is_empty() && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
            // A secret that contains another is masked first, as a whole.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_longest_first() {
        let mut secrets = Secrets::default();
        for secret in ["ab", "abc", "", "ab"] {
            secrets.add(secret);
        }
        assert_eq!(secrets.mask("x abc ab a"), "x *** *** a");
        assert_eq!(secrets.mask("nothing"), "nothing");
    }
}
