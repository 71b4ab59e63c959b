//! A server without storage: just enough to ask the rules about a recorded request.

use std::collections::BTreeMap;

use control_plane::apiserver::auth::rbac::{self, reconcile};
use control_plane::apiserver::auth::{
    Action, Authenticator, Authorizer, Chain, Lookup, Resource, User, ca, forbidden, impersonate, node,
    podsecurity, reviews, tls, token,
};
use control_plane::apiserver::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What the rules say of a request.
pub(super) enum Outcome {
    /// They have the whole answer.
    Answer { status: u16, body: Value },
    /// It goes through, perhaps with a warning; what is answered is for others to say.
    Allowed { status: u16, warning: Option<String> },
    /// It goes through, and all else is for others to say.
    NotDecidedHere,
}

pub(super) struct World {
    rbac: rbac::Index,
    node: node::Graph,
    /// What reconciliation wrote, by kind.
    standard: BTreeMap<&'static str, Vec<Value>>,
    labels: Value,
    authenticator: Authenticator,
    issuer: token::Issuer,
}

/// No account, pod or Secret is there.
struct Nothing;

impl Lookup for Nothing {
    fn live(&self, _: token::Bound, _: &str, _: &str) -> Option<token::Live> {
        None
    }

    fn bootstrap_secret(&self, _: &str) -> Option<Value> {
        None
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut rbac = rbac::Index::default();
        let mut standard: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for step in reconcile::plan(|_, _, _| None) {
            let reconcile::Step::Create(kind, object) = step else { continue };
            rbac.insert(kind, &object).unwrap();
            let resource = match kind {
                rbac::Kind::ClusterRole => "clusterroles",
                rbac::Kind::ClusterRoleBinding => "clusterrolebindings",
                rbac::Kind::Role => "roles",
                rbac::Kind::RoleBinding => "rolebindings",
            };
            standard.entry(resource).or_default().push(object);
        }
        let key = ca::new_key().unwrap();
        let authority =
            ca::issue(&ca::Profile::Authority { name: "ca" }, &key, None, Timestamp::now()).unwrap();
        let signing = token::SigningKey::from_pem(&key).unwrap();
        let audience = "https://kubernetes.default.svc".to_owned();
        let tokens = token::Verifier {
            issuers: vec![audience.clone()],
            keys: vec![signing.public().clone()],
            audiences: vec![audience.clone()],
        };
        let url = audience.clone();
        Self {
            rbac,
            node: node::Graph::default(),
            standard,
            labels: json!({}),
            authenticator: Authenticator {
                clients: tls::Authorities::new(&authority).unwrap(),
                tokens,
                anonymous: true,
            },
            issuer: token::Issuer {
                url,
                audiences: vec![audience],
                longest: None,
                extend: true,
                key: signing,
            },
        }
    }

    pub(super) fn answer(&mut self, step: &Value) -> Outcome {
        match self.decide(step) {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Answer { status: refusal.code.as_u16(), body: refusal.to_json() },
        }
    }

    fn decide(&mut self, step: &Value) -> Result<Outcome, Status> {
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        let path = text("path").split('?').next().unwrap_or_default();
        let parts = Parts::parse(path);
        let on = parts.resource();
        let verb = match text("method") {
            "POST" => "create",
            "PATCH" => "patch",
            "GET" if on.name.is_empty() && !on.resource.is_empty() => "list",
            _ => "get",
        };
        let action = if on.resource.is_empty() { Action::path(verb, path) } else { Action::on(verb, on) };
        let headers: Vec<(String, &str)> = step["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap_or_default()))
            .collect();
        let headers = headers.iter().map(|(name, value)| (&name[..], *value));
        let chain = Chain { node: &self.node, rbac: &self.rbac };
        let admin = User::new("admin", &["system:masters", "system:authenticated"]);
        let user = impersonate(&admin, headers, &action, &chain)?.unwrap_or(admin);
        let verdict = chain.authorize(&user, &action);
        if !verdict.allowed {
            return Err(forbidden(&user, &action, &verdict.reason));
        }
        self.act(step, &user, on, verb)
    }

    fn act(&mut self, step: &Value, user: &User, on: Resource<'_>, verb: &str) -> Result<Outcome, Status> {
        let (body, now) = (&step["body"], Timestamp::now());
        let chain = Chain { node: &self.node, rbac: &self.rbac };
        let created = |body| Ok(Outcome::Answer { status: 201, body });
        match (verb, on.resource, on.subresource) {
            ("create", "selfsubjectreviews", _) => created(reviews::self_subject_review(user, now)),
            ("create", "selfsubjectaccessreviews", _) => {
                created(reviews::self_subject_access_review(body, user, &chain)?)
            }
            ("create", "selfsubjectrulesreviews", _) => {
                created(reviews::self_subject_rules_review(body, user, &chain)?)
            }
            ("create", "subjectaccessreviews", _) => created(reviews::subject_access_review(body, &chain)?),
            ("create", "tokenreviews", _) => {
                created(reviews::token_review(body, &self.authenticator, &Nothing, now)?)
            }
            ("create", "serviceaccounts", "token") => {
                let account = json!({"metadata": {"name": on.name, "namespace": on.namespace, "uid": "u"}});
                created(self.issuer.issue(body, &account, None, None, "id", now)?.0)
            }
            ("create", "roles" | "rolebindings", _) => self.write_rbac(body, user, on),
            ("create", "pods" | "deployments", _) => self.check_pod(body, on),
            ("patch", "namespaces", _) => {
                let mut labels = self.labels.clone();
                for (key, value) in body["metadata"]["labels"].as_object().into_iter().flatten() {
                    labels[key] = value.clone();
                }
                let (_, errors) = podsecurity::Policy::from_labels(&labels);
                if !errors.is_empty() {
                    return Err(Status::invalid("", "Namespace", on.name, errors));
                }
                self.labels = labels;
                Ok(Outcome::Allowed { status: 200, warning: None })
            }
            ("list", resource, _) if self.standard.contains_key(resource) => {
                let mut items = self.standard[resource].clone();
                for item in &mut items {
                    // In lists the items go without.
                    let fields = item.as_object_mut().unwrap();
                    fields.remove("kind");
                    fields.remove("apiVersion");
                }
                let kind = match resource {
                    "clusterroles" => "ClusterRoleList",
                    "clusterrolebindings" => "ClusterRoleBindingList",
                    "roles" => "RoleList",
                    _ => "RoleBindingList",
                };
                let body = json!({"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {}, "items": items});
                Ok(Outcome::Answer { status: 200, body })
            }
            _ => Ok(Outcome::NotDecidedHere),
        }
    }

    fn write_rbac(&mut self, body: &Value, user: &User, on: Resource<'_>) -> Result<Outcome, Status> {
        let chain = Chain { node: &self.node, rbac: &self.rbac };
        let write = rbac::escalation::Write {
            user,
            resource: on.resource,
            namespace: on.namespace,
            name: "",
            old: None,
            new: body,
        };
        let kind = if on.resource == "roles" {
            rbac::escalation::check_role(&self.rbac, &chain, &write)?;
            rbac::Kind::Role
        } else {
            rbac::escalation::check_binding(&self.rbac, &chain, &write)?;
            rbac::Kind::RoleBinding
        };
        let mut object = body.clone();
        object["metadata"]["namespace"] = json!(on.namespace);
        self.rbac.insert(kind, &object).unwrap();
        Ok(Outcome::Allowed { status: 201, warning: None })
    }

    fn check_pod(&self, body: &Value, on: Resource<'_>) -> Result<Outcome, Status> {
        let (policy, _) = podsecurity::Policy::from_labels(&self.labels);
        let findings = match on.resource {
            "pods" => podsecurity::check_pod(&policy, &body["metadata"], &body["spec"]),
            _ => {
                let (metadata, spec) = podsecurity::template("Deployment", body).unwrap();
                podsecurity::check_template(&policy, metadata, spec)
            }
        };
        if let Some(why) = findings.refusal {
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::forbidden("", "pods", name, &why));
        }
        // As the header carries it.
        let warning = findings.warning.map(|text| format!("299 - {}", Value::from(text)));
        Ok(Outcome::Allowed { status: 201, warning })
    }
}

/// The parts of a path below `/api` or `/apis`.
#[derive(Default)]
struct Parts<'a> {
    group: &'a str,
    namespace: &'a str,
    rest: [&'a str; 3],
}

impl<'a> Parts<'a> {
    fn parse(path: &'a str) -> Self {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match &parts[..] {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Self::default(),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, resource, rest @ ..] => (
                *namespace,
                [*resource, rest.first().copied().unwrap_or(""), rest.get(1).copied().unwrap_or("")],
            ),
            // A request about a namespace is a request in it.
            ["namespaces", namespace] => (*namespace, ["namespaces", *namespace, ""]),
            rest => {
                let at = |index: usize| rest.get(index).copied().unwrap_or("");
                ("", [at(0), at(1), at(2)])
            }
        };
        Self { group, namespace, rest }
    }

    fn resource(&self) -> Resource<'a> {
        let [resource, name, subresource] = self.rest;
        Resource { group: self.group, resource, subresource, namespace: self.namespace, name, fields: &[] }
    }
}
