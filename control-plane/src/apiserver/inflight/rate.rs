//! How often a user may ask: a bucket of tokens each, which fills by the second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A full bucket has the tokens of so many seconds.
const BURST: f64 = 2.0;
/// When there are so many buckets, those that are full again are thrown away.
const MANY: usize = 1024;

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// None: as often as they like.
    per_second: Option<f64>,
    buckets: HashMap<String, Bucket>,
    clean_at: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    /// So many requests a second from now on; 0 stands for no bound.
    pub(super) fn set(&mut self, per_second: u32) {
        self.per_second = Some(f64::from(per_second)).filter(|rate| *rate > 0.0);
        self.buckets.clear();
    }

    /// Takes a token of the user's.
    ///
    /// # Errors
    /// With how long it takes until there is one.
    pub(super) fn take(&mut self, user: &str, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.per_second else { return Ok(()) };
        if self.buckets.len() >= self.clean_at.max(MANY) {
            self.buckets.retain(|_, bucket| bucket.tokens_at(now, rate) < rate * BURST);
            // Who were kept are looked at again when there are twice as many.
            self.clean_at = self.buckets.len() * 2;
        }
        let bucket = match self.buckets.get_mut(user) {
            Some(bucket) => bucket,
            None => {
                let full = Bucket { tokens: rate * BURST, at: now };
                self.buckets.entry(user.to_owned()).or_insert(full)
            }
        };
        bucket.tokens = bucket.tokens_at(now, rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / rate));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

impl Bucket {
    fn tokens_at(&self, now: Instant, rate: f64) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + since * rate).min(rate * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_many_as_the_rate_says() {
        let mut rates = Rates::default();
        let start = Instant::now();
        assert_eq!((0..5000).filter(|_| rates.take("a", start).is_ok()).count(), 5000);
        rates.set(10);
        assert_eq!((0..50).filter(|_| rates.take("a", start).is_ok()).count(), 20);
        assert_eq!(rates.take("a", start), Err(Duration::from_millis(100)));
        assert_eq!(rates.take("b", start), Ok(()));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..50).filter(|_| rates.take("a", later).is_ok()).count(), 10);
    }

    #[test]
    fn who_asked_long_ago_is_forgotten() {
        let mut rates = Rates::default();
        rates.set(1);
        let start = Instant::now();
        for n in 0..MANY {
            rates.take(&n.to_string(), start).unwrap();
        }
        rates.take("late", start + Duration::from_secs(10)).unwrap();
        assert_eq!(rates.buckets.len(), 1);
    }
}
