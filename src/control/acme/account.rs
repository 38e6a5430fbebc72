//! The account at an authority: made once, kept for the service alone, made anew when the authority no longer knows it.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::failure::{Failure, Problem};
use super::http_client::{HttpClient, Transport, TransportFault};
use super::nonce::patiently;
use crate::config::{Acme, Eab};
use crate::control::certificates::storage::Storage;

/// The account of one authority. Whoever orders asks here; the first one makes it, the others wait for that.
pub struct Accounts {
    directory: String,
    email: Option<String>,
    eab: Option<Eab>,
    storage: Arc<dyn Storage>,
    place: String,
    client: HttpClient,
    current: Mutex<Option<Account>>,
}

impl Accounts {
    /// That of the authority of this configuration, kept in this folder of the store.
    pub fn new(
        acme: &Acme,
        storage: Arc<dyn Storage>,
        folder: &str,
        client: HttpClient,
    ) -> Accounts {
        Accounts {
            directory: acme.ca.clone(),
            email: acme.email.clone(),
            eab: acme.eab.clone(),
            storage,
            place: format!("{folder}/account.json"),
            client,
            current: Mutex::new(None),
        }
    }

    /// The account: as it is at hand, as it is kept, or a new one.
    ///
    /// # Errors
    ///
    /// The authority cannot be reached, refuses, or the account cannot be kept. **Cancellation**: an account that was
    /// just made may be unknown to us afterwards; the next one is another.
    pub async fn account(&self) -> Result<Account, Failure> {
        let mut current = self.current.lock().await;
        if let Some(account) = &*current {
            return Ok(account.clone());
        }
        let account = match self.kept() {
            Some((credentials, email)) => self.restored(credentials, email.as_deref()).await?,
            None => self.made().await?,
        };
        *current = Some(account.clone());
        Ok(account)
    }

    /// What is at hand is not used again: the directory is read anew with the next order.
    pub async fn let_go(&self) {
        *self.current.lock().await = None;
    }

    /// The authority does not know this account: the next order makes a new one. Another one that was made meanwhile
    /// stays. The key of the old one is kept beside it.
    pub async fn forget(&self, unknown: &Account) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|account| account.id() != unknown.id())
        {
            return;
        }
        *current = None;
        let moved = self.storage.file(&self.place).and_then(|kept| {
            if let Some(kept) = kept {
                self.storage
                    .put_file(&format!("{}.old", self.place), &kept)?;
            }
            self.storage.forget_file(&self.place)
        });
        if let Err(error) = moved {
            tracing::warn!(
                "{}: {error}; the account stays",
                self.storage.shown(&self.place)
            );
        }
        tracing::warn!(
            "the authority at {} does not know our account; making a new one",
            self.directory
        );
    }

    /// The credentials that are kept, with the address that they were registered with; `None` if there are none for
    /// this authority and this binding.
    fn kept(&self) -> Option<(AccountCredentials, Option<String>)> {
        let text = self.storage.file(&self.place).ok()??;
        let mut value: Value = serde_json::from_slice(&text).ok()?;
        let is =
            |key: &str, expected: Option<&str>| value.get(key).and_then(Value::as_str) == expected;
        let key_id = self.eab.as_ref().map(|eab| eab.key_id.as_str());
        if !is("directory", Some(&self.directory)) || !is("eab_key_id", key_id) {
            return None;
        }
        let email = value
            .get("email")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let credentials = serde_json::from_value(value.get_mut("credentials")?.take()).ok()?;
        Some((credentials, email))
    }

    async fn restored(
        &self,
        credentials: AccountCredentials,
        email: Option<&str>,
    ) -> Result<Account, Failure> {
        let kept = to_value(&credentials)?;
        let builder = Account::builder_with_http(Box::new(Transport(self.client.clone())));
        let account = builder
            .from_credentials(credentials)
            .await
            .map_err(|error| self.failure(error))?;
        if email != self.email.as_deref() {
            let contacts: Vec<String> = self.contacts();
            let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
            match patiently!(account.update_contacts(&contacts)) {
                Ok(()) => self.keep(kept)?,
                // Nothing is ordered by it: told, and tried again with the next start.
                Err(error) => tracing::warn!(
                    "the authority keeps the old address of acme.email: {}",
                    self.failure(error)
                ),
            }
        }
        Ok(account)
    }

    async fn made(&self) -> Result<Account, Failure> {
        let external = self.eab.as_ref().map(|eab| {
            let key = BASE64URL_NOPAD.decode(eab.hmac_key.as_bytes());
            let key = key.map_err(|_| {
                Failure::Unusable("acme.eab.hmac_key is not base64url; copy it again".to_owned())
            })?;
            Ok(ExternalAccountKey::new(eab.key_id.clone(), &key))
        });
        let external = external.transpose()?;
        let contacts = self.contacts();
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contacts,
            // Who sets hotgate up for a public name has accepted them; README and `hotgate certs` name them.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        // Each try has a key of its own; one whose nonce was refused is known to nobody.
        let made = patiently!({
            let builder = Account::builder_with_http(Box::new(Transport(self.client.clone())));
            builder.create(&new, self.directory.clone(), external.as_ref())
        });
        let (account, credentials) = made.map_err(|error| self.failure(error))?;
        self.keep(to_value(&credentials)?)?;
        tracing::info!("account made at {}: {}", self.directory, account.id());
        Ok(account)
    }

    fn contacts(&self) -> Vec<String> {
        self.email
            .iter()
            .map(|email| format!("mailto:{email}"))
            .collect()
    }

    fn keep(&self, credentials: Value) -> Result<(), Failure> {
        let value = json!({
            "directory": self.directory,
            "email": self.email,
            "eab_key_id": self.eab.as_ref().map(|eab| &eab.key_id),
            "credentials": credentials,
        });
        let kept = self
            .storage
            .put_file(&self.place, format!("{value:#}\n").as_bytes());
        kept.map_err(|error| {
            Failure::Unusable(format!(
                "the account cannot be kept at {}: {error}; without that no certificate is ordered",
                self.storage.shown(&self.place)
            ))
        })
    }

    /// What an error of the protocol's crate comes to.
    pub fn failure(&self, error: instant_acme::Error) -> Failure {
        failure_of(error, &self.directory)
    }
}

fn to_value(credentials: &AccountCredentials) -> Result<Value, Failure> {
    serde_json::to_value(credentials)
        .map_err(|error| Failure::Unusable(format!("the account: {error}")))
}

fn failure_of(error: instant_acme::Error, directory: &str) -> Failure {
    use instant_acme::Error;
    match error {
        Error::Api(problem) => Failure::Refused(Problem::of(&problem)),
        Error::Other(other) => match other.downcast::<TransportFault>() {
            Ok(fault) => of_transport(*fault, directory),
            Err(other) => Failure::Unusable(format!(
                "the authority's answer is not as ACME has it: {other}"
            )),
        },
        Error::Json(_) => Failure::Unusable(format!(
            "what {directory} and its links answer is not ACME; check acme.ca"
        )),
        other => Failure::Unusable(format!(
            "the authority's answer is not as ACME has it: {other}"
        )),
    }
}

fn of_transport(fault: TransportFault, directory: &str) -> Failure {
    match fault {
        TransportFault::Http(fault) => Failure::Unreachable {
            directory: directory.to_owned(),
            why: fault.to_string(),
        },
        TransportFault::Busy {
            status,
            until,
            detail,
        } => Failure::Busy {
            status,
            until,
            detail,
        },
        TransportFault::Odd { status } => Failure::Unusable(format!(
            "the authority at {directory} answered {status} without saying why; check acme.ca"
        )),
    }
}
