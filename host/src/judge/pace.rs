//! How many requests and tokens an endpoint gets in a minute.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A limit in a minute, which may be used up at once.
pub struct Pace {
    limiter: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
}

impl Pace {
    pub fn new(per_minute: Option<u32>) -> Self {
        let limiter = per_minute
            .and_then(NonZeroU32::new)
            .map(|limit| (RateLimiter::direct(Quota::per_minute(limit)), limit));
        Self { limiter }
    }

    /// Waits until so many may go. More than a minute's worth count as that.
    pub async fn wait(&self, count: u32) {
        let Some((limiter, limit)) = &self.limiter else { return };
        let Some(count) = NonZeroU32::new(count.min(limit.get())) else { return };
        loop {
            match limiter.check_n(count).expect("it is not over the limit") {
                Ok(()) => return,
                Err(later) => {
                    tokio::time::sleep(later.wait_time_from(DefaultClock::default().now())).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn what_is_over_the_limit_waits_for_its_time() {
        let pace = Pace::new(Some(1_200));
        let started = Instant::now();
        pace.wait(1_200).await;
        assert!(started.elapsed() < Duration::from_millis(40), "a minute's worth goes at once");
        pace.wait(4).await;
        assert!(started.elapsed() >= Duration::from_millis(190), "20 a second: {:?}", started.elapsed());
        Pace::new(None).wait(u32::MAX).await;
    }
}
