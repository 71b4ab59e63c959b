//! Which families of addresses a Service has, one or two, and what it was told about them that cannot be.

use api_objects::address::Family;
use api_objects::check::{has, list, text, texts};
use api_objects::core::service::check_addresses;
use api_objects::{FieldError, Path};
use serde_json::{Value, json};

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Writes a Service's `ipFamilyPolicy` and `ipFamilies` where they follow from what else it says and from the families
/// of the cluster, the first of which is what a Service has that asks for none.
pub(super) fn settle(
    service: &mut Value,
    old: Option<&Value>,
    cluster: &[Family],
) -> Result<(), Vec<FieldError>> {
    if service["spec"]["type"] == "ExternalName" || is_left_alone(service, old) {
        return Ok(());
    }
    if !has(&service["spec"], "ipFamilyPolicy") {
        let before = old.map(|old| &old["spec"]["ipFamilyPolicy"]).filter(|policy| policy.is_string());
        let bare = is_headless(&service["spec"]) && selects_nothing(&service["spec"]);
        let policy = before.cloned().unwrap_or_else(|| if bare { REQUIRE.into() } else { SINGLE.into() });
        service["spec"]["ipFamilyPolicy"] = policy;
    }
    let refused = |errors: Vec<FieldError>| if errors.is_empty() { Ok(()) } else { Err(errors) };
    refused(check_addresses(service, old))?;
    let spec = &mut service["spec"];
    let mut errors = Vec::new();
    if let Some(old) = old {
        reduce(spec, &old["spec"], &mut errors);
    }
    too_many(spec, &mut errors);
    infer(spec, cluster, &mut errors);
    refused(errors)?;
    let dual = text(spec, "ipFamilyPolicy") != SINGLE;
    // Whoever tells its endpoints by itself knows better of which families they are.
    if is_headless(spec) && selects_nothing(spec) {
        complete(spec, cluster[0], dual);
        return Ok(());
    }
    refused(impossible(spec, cluster))?;
    complete(spec, cluster[0], dual && cluster.len() > 1);
    Ok(())
}

/// Whether a Service has no address, and its name means its backends.
pub(super) fn is_headless(spec: &Value) -> bool {
    text(spec, "clusterIP") == "None"
}

fn selects_nothing(spec: &Value) -> bool {
    spec["selector"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// A Service that would like two families keeps what it has: it gets none and loses none because the cluster changed.
pub(super) fn is_left_alone(service: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old.map(|old| &old["spec"]) else { return false };
    let spec = &service["spec"];
    let prefers = |spec: &Value| spec["ipFamilyPolicy"] == PREFER;
    let same = |field| list(spec, field) == list(old, field);
    spec["type"] == old["type"]
        && ["ClusterIP", "NodePort", "LoadBalancer"].contains(&text(spec, "type"))
        && prefers(spec)
        && (prefers(old) || !has(old, "ipFamilyPolicy"))
        && same("clusterIPs")
        && same("ipFamilies")
}

/// Who says one family where there were two, and changes nothing else, gives the second one back.
fn reduce(spec: &mut Value, old: &Value, errors: &mut Vec<FieldError>) {
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) = (list(spec, field), list(old, field));
        if spec["ipFamilyPolicy"] == SINGLE {
            if now == before && now.len() > 1 {
                spec[field] = json!([now[0]]);
            }
        } else if !now.is_empty() && now.len() < before.len() {
            errors.push(policy(spec, &format!("must be '{SINGLE}' to release the secondary {what}")));
        }
    }
}

fn policy(spec: &Value, why: &str) -> FieldError {
    FieldError::invalid(
        &Path::ROOT.field("spec").field("ipFamilyPolicy"),
        spec["ipFamilyPolicy"].clone(),
        why,
    )
}

fn too_many(spec: &Value, errors: &mut Vec<FieldError>) {
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if spec["ipFamilyPolicy"] == SINGLE && list(spec, field).len() == 2 {
            let why = format!("must be '{REQUIRE}' or '{PREFER}' when multiple {what} are specified");
            errors.push(policy(spec, &why));
        }
    }
}

/// An address that was asked for says of which family it is.
fn infer(spec: &mut Value, cluster: &[Family], errors: &mut Vec<FieldError>) {
    let mut families = list(spec, "ipFamilies").to_vec();
    for (index, address) in texts(spec, "clusterIPs").skip(families.len()) {
        let Some(family) = Family::of(address) else { break };
        if cluster.contains(&family) {
            families.push(family.name().into());
        } else {
            let path = Path::ROOT.field("spec");
            let why = format!("{} is not configured on this cluster", family.name());
            let at = path.field("clusterIPs");
            errors.push(FieldError::invalid(&at.index(index), spec["clusterIPs"].clone(), &why));
        }
    }
    if !families.is_empty() {
        spec["ipFamilies"] = families.into();
    }
}

/// What the cluster cannot give.
fn impossible(spec: &Value, cluster: &[Family]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec["ipFamilyPolicy"] == REQUIRE && cluster.len() < 2 {
        errors.push(policy(spec, "this cluster is not configured for dual-stack services"));
    }
    let path = Path::ROOT.field("spec");
    let at = path.field("ipFamilies");
    for (index, family) in texts(spec, "ipFamilies") {
        if !cluster.iter().any(|known| known.name() == family) {
            errors.push(FieldError::invalid(&at.index(index), family, "not configured on this cluster"));
        }
    }
    errors
}

/// One family at least, two where that is wanted and can be.
fn complete(spec: &mut Value, first: Family, dual: bool) {
    let mut families = list(spec, "ipFamilies").to_vec();
    if families.is_empty() {
        families.push(first.name().into());
    }
    if dual && families.len() == 1 {
        families.push(if families[0] == "IPv4" { "IPv6".into() } else { "IPv4".into() });
    }
    spec["ipFamilies"] = families.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[Family] = &[Family::V4];
    const BOTH: &[Family] = &[Family::V4, Family::V6];

    fn settled(spec: Value, old: Option<Value>, cluster: &[Family]) -> Result<(String, String), String> {
        let mut service = json!({ "spec": spec });
        let old = old.map(|spec| json!({ "spec": spec }));
        match settle(&mut service, old.as_ref(), cluster) {
            Ok(()) => {
                let families: Vec<&str> =
                    texts(&service["spec"], "ipFamilies").map(|(_, family)| family).collect();
                Ok((text(&service["spec"], "ipFamilyPolicy").to_owned(), families.join(" ")))
            }
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn a_new_service_has_the_families_that_it_asks_for_and_the_cluster_has() {
        let of = |value: Value| value;
        for (spec, one, both) in [
            (of(json!({"type": "ClusterIP"})), "SingleStack IPv4", "SingleStack IPv4"),
            (
                json!({"type": "ClusterIP", "ipFamilyPolicy": PREFER}),
                "PreferDualStack IPv4",
                "PreferDualStack IPv4 IPv6",
            ),
            (
                json!({"type": "ClusterIP", "ipFamilyPolicy": PREFER, "ipFamilies": ["IPv6"]}),
                "",
                "PreferDualStack IPv6 IPv4",
            ),
            (json!({"type": "ClusterIP", "ipFamilyPolicy": REQUIRE}), "", "RequireDualStack IPv4 IPv6"),
            (
                json!({"type": "ClusterIP", "clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}),
                "",
                "SingleStack IPv6",
            ),
            (
                json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}),
                "RequireDualStack IPv4 IPv6",
                "RequireDualStack IPv4 IPv6",
            ),
            (
                json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}}),
                "SingleStack IPv4",
                "SingleStack IPv4",
            ),
            (json!({"type": "ExternalName"}), " ", " "),
        ] {
            let said = |found: Result<(String, String), String>| {
                found.map_or_else(|_| String::new(), |(policy, families)| format!("{policy} {families}"))
            };
            assert_eq!(said(settled(spec.clone(), None, ONE)), one, "{spec}");
            assert_eq!(said(settled(spec.clone(), None, BOTH)), both, "{spec}");
        }
    }

    #[test]
    fn what_the_cluster_cannot_give_is_refused_in_upstream_s_words() {
        for (spec, why) in [
            (
                json!({"type": "ClusterIP", "ipFamilyPolicy": REQUIRE}),
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
            (
                json!({"type": "ClusterIP", "ipFamilies": ["IPv6"]}),
                "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
            ),
            (
                json!({"type": "ClusterIP", "clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}),
                "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
            ),
            (
                json!({"type": "ClusterIP", "ipFamilyPolicy": SINGLE, "ipFamilies": ["IPv4", "IPv6"]}),
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' \
                 when multiple IP families are specified",
            ),
        ] {
            assert_eq!(settled(spec, None, ONE).unwrap_err(), why);
        }
    }

    #[test]
    fn the_second_family_comes_and_goes_when_it_is_asked_to() {
        let with = |policy: &str, families: Value, addresses: Value| {
            json!({"type": "ClusterIP", "ipFamilyPolicy": policy, "ipFamilies": families,
                "clusterIP": addresses[0].clone(), "clusterIPs": addresses})
        };
        let (one, two) = (json!(["10.0.0.1"]), json!(["10.0.0.1", "fd00::1"]));
        let single = with(SINGLE, json!(["IPv4"]), one.clone());
        let dual = with(REQUIRE, json!(["IPv4", "IPv6"]), two.clone());
        let up = settled(with(REQUIRE, json!(["IPv4"]), one.clone()), Some(single.clone()), BOTH);
        assert_eq!(up.unwrap().1, "IPv4 IPv6");
        let down = settled(with(SINGLE, json!(["IPv4", "IPv6"]), two), Some(dual.clone()), BOTH);
        assert_eq!(down.unwrap().1, "IPv4");
        let refused = settled(with(REQUIRE, json!(["IPv4"]), one.clone()), Some(dual), BOTH).unwrap_err();
        assert!(refused.contains("must be 'SingleStack' to release the secondary cluster IP"), "{refused}");
        // It would like two, and has one: the cluster's second family does not come by itself.
        let prefers = with(PREFER, json!(["IPv4"]), one.clone());
        assert_eq!(settled(prefers.clone(), Some(prefers), BOTH).unwrap().1, "IPv4");
        // Who says nothing of it means what was.
        let mut silent = single.clone();
        silent.as_object_mut().unwrap().remove("ipFamilyPolicy");
        assert_eq!(settled(silent, Some(with(PREFER, json!(["IPv4"]), one)), ONE).unwrap().0, PREFER);
    }
}
