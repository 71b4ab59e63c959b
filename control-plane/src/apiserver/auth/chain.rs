//! The authorizers in the order in which they are asked: the superuser, nodes, roles.

use super::quote::aggregated;
use super::rbac::{self, Rule};
use super::{Action, Authorizer, MASTERS, User, Verdict, node};

/// The first that allows decides; when none does, all their reasons are told.
#[derive(Clone, Copy)]
pub struct Chain<'a> {
    /// What is related to which node.
    pub node: &'a node::Graph,
    /// Roles and bindings.
    pub rbac: &'a rbac::Index,
}

/// What a user may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<Rule>,
    /// May the user do more than they say?
    pub incomplete: bool,
    /// Why.
    pub error: String,
}

impl Authorizer for Chain<'_> {
    fn authorize(&self, user: &User, action: &Action<'_>) -> Verdict {
        // Whoever holds the certificate authority is not locked out by a role that was deleted.
        if user.in_group(MASTERS) {
            return Verdict::allow("");
        }
        let mut reasons = Vec::new();
        for authorizer in [&node::Authorizer(self.node) as &dyn Authorizer, self.rbac] {
            let verdict = authorizer.authorize(user, action);
            if verdict.allowed {
                return verdict;
            }
            if !verdict.reason.is_empty() {
                reasons.push(verdict.reason);
            }
        }
        Verdict::refuse(reasons.join("\n"))
    }
}

impl Chain<'_> {
    /// What the user may do in that namespace, as far as it can be listed.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let (rules, mut errors) = self.rbac.rules_for(user, namespace);
        let incomplete = user.node().is_some();
        if incomplete {
            errors.insert(0, "node authorizer does not support user rule resolution".to_owned());
        }
        Rules { rules, incomplete, error: aggregated(&errors) }
    }
}
