//! `/healthz`, `/livez` and `/readyz`: what is checked, and how it is told.

use http::StatusCode;

use super::http::answer::Answer;
use super::http::query::Query;
use super::server::Server;

/// A check's name and why it failed.
type Check = (&'static str, Option<String>);

/// Answers a health endpoint; `only` is the one check that the path names.
pub(super) async fn answer(server: &Server, endpoint: &str, only: Option<&str>, query: &Query) -> Answer {
    let mut checks: Vec<Check> = vec![("ping", None)];
    if endpoint != "livez" {
        checks.push(("store", store(server).await));
        let fed = server.caches.is_fed();
        let closing = server.closing.is_cancelled();
        checks.push(("shutdown", closing.then(|| "the server is closing".to_owned())));
        checks.push(("watch-cache", (!fed).then(|| "it does not follow the store yet".to_owned())));
        let prepared = server.was_prepared();
        checks
            .push(("bootstrap", (!prepared).then(|| "what every cluster has is not written yet".to_owned())));
    }
    if let Some(only) = only {
        checks.retain(|(name, _)| *name == only);
        if checks.is_empty() {
            return Answer::text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
    }
    checks.retain(|(name, _)| !query.all("exclude").any(|excluded| excluded == *name));
    let failed = checks.iter().any(|(_, why)| why.is_some());
    let code = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    if !failed && !query.names("verbose") {
        return Answer::text(code, "ok");
    }
    Answer::text(code, told(endpoint, &checks))
}

async fn store(server: &Server) -> Option<String> {
    server.caches.store().stats().await.err().map(|error| error.to_string())
}

fn told(endpoint: &str, checks: &[Check]) -> String {
    let mut text = String::new();
    for (name, why) in checks {
        text.push_str(&match why {
            None => format!("[+]{name} ok\n"),
            Some(why) => format!("[-]{name} failed: {why}\n"),
        });
    }
    let failed = checks.iter().any(|(_, why)| why.is_some());
    text.push_str(&format!("{endpoint} check {}\n", if failed { "failed" } else { "passed" }));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named() {
        let checks = [("ping", None), ("store", Some("no answer".to_owned()))];
        let text = told("readyz", &checks);
        assert_eq!(text, "[+]ping ok\n[-]store failed: no answer\nreadyz check failed\n");
        assert_eq!(told("livez", &checks[..1]), "[+]ping ok\nlivez check passed\n");
    }
}
