//! One-shot tokens that expire.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::TooManySessions;

/// How long a token waits for its client.
const LIFETIME: Duration = Duration::from_secs(60);
/// How many may wait at a time.
const CAPACITY: usize = 1000;

/// Values by an unguessable token, each taken at most once.
pub(super) struct Tokens<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Tokens<T> {
    /// Keeps a value and returns its token, safe to stand in a URL.
    pub(super) fn insert(&self, value: T) -> Result<String, TooManySessions> {
        let mut bytes = [0; 16];
        // Fails only without getrandom(2), and then no session is safe.
        SystemRandom::new().fill(&mut bytes).map_err(|_| TooManySessions)?;
        let token = hex::encode(bytes);
        self.insert_at(Instant::now(), token.clone(), value)?;
        Ok(token)
    }

    /// The value of a token, once and in time.
    pub(super) fn take(&self, token: &str) -> Option<T> {
        self.take_at(Instant::now(), token)
    }

    fn insert_at(&self, now: Instant, token: String, value: T) -> Result<(), TooManySessions> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= CAPACITY {
            waiting.retain(|_, (since, _)| now.duration_since(*since) < LIFETIME);
        }
        if waiting.len() >= CAPACITY {
            return Err(TooManySessions);
        }
        waiting.insert(token, (now, value));
        Ok(())
    }

    fn take_at(&self, now: Instant, token: &str) -> Option<T> {
        let (since, value) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token)?;
        (now.duration_since(since) < LIFETIME).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_once() {
        let tokens = Tokens::default();
        let token = tokens.insert(7).unwrap();
        assert_eq!((tokens.take(&token), tokens.take(&token)), (Some(7), None));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let tokens = Tokens::default();
        assert_ne!(tokens.insert(1).unwrap(), tokens.insert(1).unwrap());
    }

    #[test]
    fn a_token_expires() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        tokens.insert_at(now, "a".into(), 1).unwrap();
        assert_eq!(tokens.take_at(now + LIFETIME, "a"), None);
    }

    #[test]
    fn those_that_nobody_took_make_room_once_they_expired() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        for number in 0..CAPACITY {
            tokens.insert_at(now, number.to_string(), number).unwrap();
        }
        assert_eq!(tokens.insert_at(now, "one more".into(), 0), Err(TooManySessions));
        assert_eq!(tokens.insert_at(now + LIFETIME, "one more".into(), 0), Ok(()));
    }
}
