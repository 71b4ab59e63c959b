//! What ResourceQuotas count, and what a write is charged. Admission asks before it lets something be written, the
//! quota controller when it counts anew; both here, so that they agree.
//!
//! ```text
//!   a write ─▶ does the quota count such objects, is it in its scopes ─▶ what does it use ─▶ and more than before
//!          ─▶ does it fit ─▶ charged: the quota's status.used is raised ─▶ written
//! ```

mod charges;
mod scope;
mod usage;

use jiff::Timestamp;
use serde_json::Value;

pub use charges::{Charge, Charges, Open, Turn};
pub use scope::is_in_scope;
pub(crate) use usage::storage_class;
pub use usage::{counts, is_counted, usage};

use crate::amounts::Amounts;

/// A write that quotas may have something against.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The kind, as `deployments.apps`.
    pub resource: &'a str,
    /// The subresource, or nothing.
    pub subresource: &'a str,
    /// What is there, unless it is made.
    pub old: Option<&'a Value>,
    /// What is to be.
    pub new: &'a Value,
    /// The time.
    pub now: Timestamp,
}

impl Write<'_> {
    /// Whether such a write can make more of what quotas count.
    pub fn is_looked_at(&self) -> bool {
        match (self.resource, self.subresource, self.old) {
            ("pods", "", Some(old)) => scope::has_deadline(old) != scope::has_deadline(self.new),
            ("pods", "resize", Some(_)) => true,
            ("persistentvolumeclaims", "status", Some(old)) => scope::changes(self.resource, old, self.new),
            ("services" | "persistentvolumeclaims" | "resourceclaims.resource.k8s.io", "", _) => true,
            (_, "", None) => is_counted(self.resource),
            _ => false,
        }
    }
}

/// What this write is to be charged to a quota; none where the quota does not care.
///
/// # Errors
/// Why the quota refuses such an object, however little it uses.
pub fn charge(quota: &Value, write: &Write<'_>) -> Result<Option<Amounts>, String> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let hard = Amounts::of(&quota["status"]["hard"]);
    let limited = hard.only(|name| counts(write.resource, name));
    if limited.is_empty() || !is_in_scope(&quota["spec"], write.resource, write.new) {
        return Ok(None);
    }
    if write.resource == "pods"
        && let Some(missing) = usage::missing(write.new, &limited)
    {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let used = Amounts::of(&quota["status"]["used"]);
    if limited.iter().any(|(name, _)| used.get(name).is_none()) {
        let names: Vec<&str> = limited.iter().map(|(name, _)| name).collect();
        return Err(format!("status unknown for quota: {name}, resources: {}", names.join(",")));
    }
    let mut more = usage(write.resource, write.new, write.now);
    if let Some(old) = write.old
        && is_in_scope(&quota["spec"], write.resource, old)
    {
        more.take(&usage(write.resource, old, write.now));
    }
    let more = more.only(|name| hard.get(name).is_some()).without_zeros();
    Ok(Some(more).filter(|more| !more.is_empty()))
}

/// What a quota's `status.used` is once it was charged.
///
/// # Errors
/// That it does not fit.
pub fn charged(quota: &Value, more: &Amounts) -> Result<Amounts, String> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let (hard, before) = (Amounts::of(&quota["status"]["hard"]), Amounts::of(&quota["status"]["used"]));
    let mut used = before.clone();
    used.add(more);
    let over = |name: &str| {
        more.get(name).is_some()
            && hard.get(name).is_some_and(|hard| used.get(name).is_some_and(|used| used > hard))
    };
    if hard.iter().any(|(name, _)| over(name)) {
        let [asked, used, limited] = [more, &before, &hard].map(|amounts| amounts.only(over));
        return Err(format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {limited}"));
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
    }

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    fn create<'a>(resource: &'a str, new: &'a Value) -> Write<'a> {
        Write { resource, subresource: "", old: None, new, now: Timestamp::UNIX_EPOCH }
    }

    fn told(quota: &Value, write: &Write<'_>) -> Result<String, String> {
        let more = charge(quota, write)?;
        Ok(more.map(|more| more.to_string()).unwrap_or_default())
    }

    #[test]
    fn what_is_made_is_charged_where_it_is_limited() {
        let q = quota(
            json!({"pods": "2", "cpu": "1", "secrets": "1"}),
            json!({"pods": "0", "cpu": "0", "secrets": "0"}),
        );
        assert_eq!(told(&q, &create("pods", &pod("500m"))), Ok("cpu=500m,pods=1".into()));
        assert_eq!(told(&q, &create("secrets", &json!({}))), Ok("secrets=1".into()));
        assert_eq!(told(&q, &create("configmaps", &json!({}))), Ok(String::new()));
        let bare = json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}]}});
        assert_eq!(
            told(&q, &create("pods", &bare)),
            Err("failed quota: q: must specify cpu for: a,b".into())
        );
        let whole = json!({"spec": {"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "b"}]}});
        assert_eq!(told(&q, &create("pods", &whole)), Ok("cpu=1,pods=1".into()));
    }

    #[test]
    fn a_quota_that_nobody_counted_yet() {
        let mut q = quota(json!({"pods": "1", "configmaps": "1"}), json!({"configmaps": "0"}));
        let why = Err("status unknown for quota: q, resources: pods".to_owned());
        assert_eq!(told(&q, &create("pods", &pod("1"))), why);
        q["status"] = json!({});
        assert_eq!(told(&q, &create("pods", &pod("1"))), Ok(String::new()));
    }

    #[test]
    fn a_change_is_charged_what_is_more() {
        let q = quota(json!({"cpu": "4"}), json!({"cpu": "1"}));
        let (old, new) = (pod("1"), pod("3"));
        let write = Write { subresource: "resize", old: Some(&old), ..create("pods", &new) };
        assert!(write.is_looked_at());
        assert_eq!(told(&q, &write), Ok("cpu=2".into()));
        let less = Write { old: Some(&new), new: &old, ..write };
        assert_eq!(told(&q, &less), Ok(String::new()));
        assert!(!Write { subresource: "", ..write }.is_looked_at());
        assert!(!Write { subresource: "status", ..write }.is_looked_at());
        let mut late = new.clone();
        late["spec"]["activeDeadlineSeconds"] = 5.into();
        assert!(Write { subresource: "", new: &late, ..write }.is_looked_at());
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_numbers() {
        let q = quota(
            json!({"cpu": "2", "pods": "5", "memory": "1Gi"}),
            json!({"cpu": "1500m", "pods": "1", "memory": "2Gi"}),
        );
        let more = Amounts::of(&json!({"cpu": "1", "pods": "1"}));
        let why = "exceeded quota: q, requested: cpu=1, used: cpu=1500m, limited: cpu=2";
        assert_eq!(charged(&q, &more), Err(why.to_owned()));
        let more = Amounts::of(&json!({"cpu": "500m", "pods": "1"}));
        assert_eq!(charged(&q, &more).unwrap().to_string(), "cpu=2,memory=2Gi,pods=2");
    }
}
