//! Keeps what is served up to date: when ACME has something new, a file changes, or a leaf of the local CA is due.
//!
//! One task of the control thread. It publishes whole and tells each thing once: a sentence that was said is not said
//! again until it was untrue in between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::book::{Book, IMPORTED};
use super::fault::Fault;
use super::files::{Named, PATIENCE, load_patiently};
use super::local_ca;
use super::publish::{Publication, Publisher};
use super::storage::{FileStore, Storage};
use super::watch::Watch;
use crate::config::{Config, Site};
use crate::control::last_good::state_folder;

/// All files are looked at this often, whatever is watched: not every file system tells of changes. The wall clock is
/// looked at then too, which may have been set.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the certificates of a running process.
pub struct Keeper {
    config: Arc<Config>,
    book: Book,
    publisher: Publisher,
    /// What was said and still holds.
    said: HashSet<String>,
    due: Option<SystemTime>,
}

/// What a wait ended with.
enum Event {
    Book,
    Files,
    Time,
}

impl Keeper {
    /// Opens what is held and makes the first publication. Nothing is waited for but the disk.
    pub fn start(config: Arc<Config>) -> (Keeper, Publication) {
        let folder = state_folder().unwrap_or_else(|| {
            let folder = std::env::temp_dir().join("hotgate-state");
            tracing::warn!(
                "no state folder: certificates are kept in {}, as long as that lasts",
                folder.display()
            );
            folder
        });
        let storage: Arc<dyn Storage> = Arc::new(FileStore::new(&folder));
        let (book, faults) = Book::open(storage, &config.acme.ca);
        for fault in faults {
            tracing::warn!("{fault}");
        }
        let mut publisher = Publisher::new();
        // What is faulty now is in the publication's remarks.
        publisher.files.load(&config);
        let mut keeper = Keeper {
            config,
            book,
            publisher,
            said: HashSet::new(),
            due: None,
        };
        let first = keeper.publish();
        (keeper, first)
    }

    /// The book, for whoever gets certificates.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Publishes whatever changes until nobody takes it any more.
    pub async fn run(mut self, report: UnboundedSender<Publication>) {
        if !self.config.sites.iter().any(Site::is_https) {
            return;
        }
        let mut watch = Watch::new();
        let watched = self.watched();
        watch.follow(&watched);
        // What changed between the first look and the watch.
        let mut is_new = self.look().await;
        loop {
            if is_new && report.send(self.publish()).is_err() {
                return; // the process ends
            }
            is_new = match self.next(&mut watch).await {
                Event::Book => true,
                Event::Files | Event::Time => {
                    watch.follow(&watched);
                    self.look().await || self.is_due()
                }
            };
        }
    }

    async fn next(&self, watch: &mut Watch) -> Event {
        let left = self
            .due
            .map(|due| due.duration_since(SystemTime::now()).unwrap_or_default());
        let pause = left.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL);
        // One that cannot be had now is not asked for in a circle.
        let pause = pause.max(PATIENCE);
        tokio::select! {
            () = self.book.changed() => Event::Book,
            () = watch.changed() => Event::Files,
            () = sleep(pause) => Event::Time,
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= SystemTime::now())
    }

    /// Looks at everything that other processes write. Is there anything new to publish?
    async fn look(&mut self) -> bool {
        let (files, config) = (&mut self.publisher.files, &self.config);
        let changes = load_patiently(|| files.load(config)).await;
        changes.tell();
        for fault in self.book.look_at_imported() {
            self.say(&fault);
        }
        self.publisher.look_at_local_ca(&self.book) || changes.is_new
    }

    fn publish(&mut self) -> Publication {
        let publication = self
            .publisher
            .publish(&self.config, &self.book, SystemTime::now());
        self.due = publication.due;
        let mut saying = HashSet::new();
        for remark in &publication.remarks {
            let sentence = remark.to_string();
            if !self.said.contains(&sentence) && saying.insert(sentence.clone()) {
                tracing::warn!("{sentence}");
            }
            saying.insert(sentence);
        }
        self.said = saying;
        publication
    }

    fn say(&mut self, fault: &Fault) {
        if self.said.insert(fault.to_string()) {
            tracing::warn!("{fault}");
        }
    }

    /// The files of the configuration, and what other processes write into the state folder.
    fn watched(&self) -> Vec<PathBuf> {
        let storage = self.book.storage();
        let ours = [
            format!("{IMPORTED}/x"),
            format!("{}/{}", local_ca::PLACE, local_ca::ROOT),
        ];
        let ours = ours.iter().map(|place| PathBuf::from(storage.shown(place)));
        Named::by_sites(&self.config)
            .paths()
            .into_iter()
            .chain(ours)
            .collect()
    }
}
