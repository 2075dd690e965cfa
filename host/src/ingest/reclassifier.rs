//! Gives interactions that are there the class that the rules of now give them.
//!
//! Rules see what is stored, after redaction. Each step is one small
//! transaction, and between two of them what comes in has its turn.

use std::sync::Arc;
use std::time::Instant;

use super::classes::Classifier;
use super::redaction::RuleError;
use crate::config::ClassRule;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::ids::ReclassificationId;
use crate::domain::reclassification::Reclassification;
use crate::store::{NewReclassification, Started, Store, StoreError};

/// Classifies anew. Clones share the rules.
#[derive(Clone)]
pub struct Reclassifier {
    store: Store,
    clock: Arc<dyn Clock>,
    classifier: Arc<Classifier>,
}

impl Reclassifier {
    /// Compiles the rules.
    pub fn new(store: Store, clock: Arc<dyn Clock>, rules: &[ClassRule]) -> Result<Self, RuleError> {
        Ok(Self { store, clock, classifier: Arc::new(Classifier::new(rules)?) })
    }

    pub(super) fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Version of its rules.
    pub fn rules(&self) -> &str {
        self.classifier.version()
    }

    /// Asks for a reclassification of what started in a time; whoever has these
    /// rules carries it out.
    pub async fn start(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Started, StoreError> {
        let (id, rules) = (ReclassificationId::new(), self.rules().to_owned());
        let new = NewReclassification { id, rules, from, to, at: self.clock.now() };
        self.store.reclassification_start(new).await
    }

    /// Carries out what was asked for by these rules. `told` hears how far it is.
    pub async fn carry_out(&self, told: impl Fn(&Reclassification)) -> Result<(), StoreError> {
        while let Some(running) = self.store.reclassification_running(self.rules().to_owned()).await? {
            told(&running);
            self.step(&running).await?;
        }
        Ok(())
    }

    async fn step(&self, running: &Reclassification) -> Result<(), StoreError> {
        let mut page = self.store.reclassification_page(running).await?;
        let interactions = std::mem::take(&mut page.interactions);
        let classifier = Arc::clone(&self.classifier);
        let give = move || {
            let give = |interaction: &mut _, origin: &_| {
                classifier.classify(interaction, origin);
            };
            interactions.into_iter().map(|interaction| interaction.give(give)).collect::<Result<_, _>>()
        };
        let given = tokio::task::spawn_blocking(give).await.map_err(|_| StoreError::Closed)??;
        let before = Instant::now();
        self.store.reclassification_advance(running, page, given, self.clock.now()).await?;
        // What comes in has the writing thread for as long.
        tokio::time::sleep(before.elapsed()).await;
        Ok(())
    }
}
