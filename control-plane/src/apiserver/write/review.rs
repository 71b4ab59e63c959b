//! What is asked by creating an object that is stored nowhere: who am I, may I, who is this token.

use http::StatusCode;
use serde_json::Value;

use super::target::Write;
use crate::apiserver::access::Security;
use crate::apiserver::auth::{reviews, token};
use crate::apiserver::http::answer::Answer;
use crate::apiserver::status::Status;

/// Answers a review.
pub(super) async fn answer(write: &Write<'_>, review: &Value, warnings: &[String]) -> Result<Answer, Status> {
    let (server, context, now) = (write.server, write.context, write.server.now());
    let (access, user) = (&server.access, &context.user);
    let namespace = context.target.namespace.as_str();
    // What may be done is told by rules as new as the store.
    access.policy().catch_up(&server.caches).await?;
    let policy = access.policy();
    let answer = match write.resource.kind.kind.as_str() {
        "SelfSubjectReview" => reviews::self_subject_review(user, now),
        "SelfSubjectAccessReview" => {
            policy.ask(|chain| reviews::self_subject_access_review(review, user, chain))?
        }
        "SelfSubjectRulesReview" => {
            policy.ask(|chain| reviews::self_subject_rules_review(review, user, chain))?
        }
        "SubjectAccessReview" => policy.ask(|chain| reviews::subject_access_review(review, chain))?,
        "LocalSubjectAccessReview" => {
            policy.ask(|chain| reviews::local_subject_access_review(review, namespace, chain))?
        }
        "TokenReview" => {
            let accounts = access.accounts(&server.caches).await?;
            reviews::token_review(review, &security(write)?.authenticator, &accounts, now)?
        }
        other => return Err(Status::unexpected(format!("{other} is not implemented"))),
    };
    shown(write, &answer, warnings)
}

/// Makes a token of the service account that the path names.
pub(super) async fn token(write: &Write<'_>, request: &Value, warnings: &[String]) -> Result<Answer, Status> {
    let target = &write.context.target;
    let account = write.find("", "serviceaccounts", &target.namespace, &target.name).await?;
    let account = account.ok_or_else(|| Status::not_found(write.resource, &target.name))?;
    let bound = match token::bound_object(request)? {
        None => None,
        Some((kind, name)) => {
            let namespace = if kind == "Node" { "" } else { target.namespace.as_str() };
            write.find("", &format!("{}s", kind.to_lowercase()), namespace, name).await?
        }
    };
    let node = match bound.as_ref().and_then(|object| object["spec"]["nodeName"].as_str()) {
        Some(node) => write.find("", "nodes", "", node).await?,
        None => None,
    };
    let issuer = &security(write)?.issuer;
    let id = super::create::uuid();
    let (mut answer, more) =
        issuer.issue(request, &account, bound.as_ref(), node.as_ref(), &id, write.server.now())?;
    if let Some(owners) = request["metadata"].get("managedFields") {
        answer["metadata"]["managedFields"] = owners.clone();
    }
    shown(write, &answer, &[warnings, &more].concat())
}

fn security<'a>(write: &Write<'a>) -> Result<&'a Security, Status> {
    let none = || Status::unavailable("this server knows no credentials");
    write.server.access.security().ok_or_else(none)
}

fn shown(write: &Write<'_>, answer: &Value, warnings: &[String]) -> Result<Answer, Status> {
    write.answer(StatusCode::CREATED, answer, None, warnings)
}
