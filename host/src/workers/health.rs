//! Which plugins cost too many workers.
//!
//! A new worker is cheap but not free: a plugin that takes one down again and
//! again would keep all others waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::digest::Digest;

const WINDOW: Duration = Duration::from_secs(60);

/// The workers lost in the last minute, by the plugin that ran.
#[derive(Debug)]
pub struct Health {
    losses_max: usize,
    losses: Mutex<HashMap<Digest, VecDeque<Instant>>>,
}

impl Health {
    /// A plugin with so many losses a minute is unhealthy.
    pub fn new(losses_max: u32) -> Self {
        Self { losses_max: losses_max as usize, losses: Mutex::default() }
    }

    /// A worker was lost while it ran this plugin.
    pub fn lost(&self, plugin: Digest, now: Instant) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.retain(|_, times| times.back().is_some_and(|last| now - *last < WINDOW));
        let times = losses.entry(plugin).or_default();
        times.push_back(now);
        if times.len() > self.losses_max {
            times.pop_front();
        }
    }

    /// Whether it is not to be run for now.
    pub fn is_unhealthy(&self, plugin: Digest, now: Instant) -> bool {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.get(&plugin).is_some_and(|times| {
            times.len() >= self.losses_max && times.front().is_some_and(|first| now - *first < WINDOW)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_unhealthy_until_a_minute_has_passed_since_the_first_of_its_last_losses() {
        let health = Health::new(3);
        let (plugin, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 10] {
            health.lost(plugin, after(seconds));
        }
        assert!(!health.is_unhealthy(plugin, after(20)));
        health.lost(plugin, after(20));
        assert!(health.is_unhealthy(plugin, after(59)) && !health.is_unhealthy(other, after(59)));
        assert!(!health.is_unhealthy(plugin, after(60)));
        health.lost(plugin, after(61));
        assert!(health.is_unhealthy(plugin, after(69)), "the losses at 10, 20 and 61 s");
        assert!(!health.is_unhealthy(plugin, after(70)));
    }
}
