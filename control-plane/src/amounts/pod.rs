//! What a pod asks for as a whole.

use serde_json::Value;

use super::Amounts;

/// What of the containers' resources is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// What they are to have.
    Requests,
    /// What they may use at most.
    Limits,
}

/// What counts beside the containers' specifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// What the pod costs beside its containers.
    pub overhead: bool,
    /// What containers have at the moment, where a resize is still on its way.
    pub status: bool,
}

/// What a pod asks for from its begin to its end: init containers run one after the other, before the containers and
/// beside the sidecars that came before them.
pub fn of_pod(pod: &Value, of: Of, sum: Sum) -> Amounts {
    of_pod_with(pod, of, sum, &Amounts::default())
}

/// The same, where every container asks for these amounts of what it does not name.
pub fn of_pod_with(pod: &Value, of: Of, sum: Sum, unsaid: &Amounts) -> Amounts {
    let spec = &pod["spec"];
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
    for container in list("initContainers") {
        let stays = container["restartPolicy"] == "Always";
        let mut own = if stays && sum.status { now(pod, container, of) } else { told(container, of) };
        own.fill(unsaid);
        let mut needed = sidecars.clone();
        needed.add(&own);
        if stays {
            sidecars.clone_from(&needed);
        }
        most.raise(&needed);
    }
    let mut total = sidecars;
    for container in list("containers") {
        let mut own = if sum.status { now(pod, container, of) } else { told(container, of) };
        own.fill(unsaid);
        total.add(&own);
    }
    total.raise(&most);
    // What the pod asks for as a whole stands for what its containers do.
    for (name, amount) in told(spec, of).iter().filter(|(name, _)| is_of_pods(name)) {
        total.set(name, amount);
    }
    if sum.overhead {
        let overhead = Amounts::of(&spec["overhead"]);
        let counts = |name: &str| of == Of::Requests || total.get(name).is_some_and(|own| !own.is_zero());
        let overhead = overhead.only(counts);
        total.add(&overhead);
    }
    total
}

/// Whether a pod asks for something as a whole, whatever its containers ask for.
pub fn asks_as_a_whole(pod: &Value) -> bool {
    told(&pod["spec"], Of::Requests).iter().any(|(name, _)| is_of_pods(name))
}

/// Whether a pod can ask for it as a whole.
pub(crate) fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn told(container: &Value, of: Of) -> Amounts {
    let field = match of {
        Of::Requests => "requests",
        Of::Limits => "limits",
    };
    Amounts::of(&container["resources"][field])
}

/// What a container is to have or has, whichever is more; only what it has, where it cannot have what it is to.
fn now(pod: &Value, container: &Value, of: Of) -> Amounts {
    let status = &pod["status"];
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut all = lists.iter().flat_map(|field| status[*field].as_array().into_iter().flatten());
    let found = all.find(|found| found["name"] == container["name"] && found["resources"].is_object());
    let Some(found) = found else { return told(container, of) };
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let impossible = conditions
        .any(|condition| condition["type"] == "PodResizePending" && condition["reason"] == "Infeasible");
    let mut most = if impossible { Amounts::default() } else { told(container, of) };
    most.raise(&told(found, of));
    if of == Of::Requests {
        most.raise(&Amounts::of(&found["allocatedResources"]));
    }
    most
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    fn cpu(pod: &Value, of: Of, sum: Sum) -> String {
        of_pod(pod, of, sum).get("cpu").unwrap_or_default().to_string()
    }

    #[test]
    fn a_pod_asks_for_the_most_that_it_needs_at_any_time() {
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = "Always".into();
        let mut pod = json!({"spec": {"containers": [container("1"), container("500m")],
            "initContainers": [container("2"), sidecar, container("1")], "overhead": {"cpu": "10m", "memory": "1Mi"}}});
        let sum = Sum { overhead: true, status: false };
        assert_eq!(
            (cpu(&pod, Of::Requests, sum), cpu(&pod, Of::Requests, Sum::default())),
            ("2010m".into(), "2".into())
        );
        assert_eq!(of_pod(&pod, Of::Requests, sum).get("memory"), "1Mi".parse().ok());
        assert_eq!(of_pod(&pod, Of::Limits, sum).get("memory"), None);
        pod["spec"]["resources"] = json!({"requests": {"cpu": "3"}});
        assert_eq!(cpu(&pod, Of::Requests, sum), "3010m");
    }

    #[test]
    fn what_a_container_does_not_name_is_taken_for_granted_and_nothing_is_not() {
        let unsaid = Amounts::of(&json!({"cpu": "100m", "memory": "1Mi"}));
        let silent = json!({"name": "d"});
        let mut pod = json!({"spec": {"containers": [container("1"), container("0"), silent],
            "initContainers": [silent]}});
        let filled = |pod: &Value| of_pod_with(pod, Of::Requests, Sum::default(), &unsaid).to_string();
        assert_eq!(filled(&pod), "cpu=1100m,memory=3Mi");
        assert!(!asks_as_a_whole(&pod));
        pod["spec"]["resources"] = json!({"requests": {"memory": "8Mi"}});
        assert_eq!(filled(&pod), "cpu=1100m,memory=8Mi");
        assert!(asks_as_a_whole(&pod));
    }

    #[test]
    fn a_resize_counts_with_what_is_larger_until_it_is_done() {
        let sum = Sum { overhead: true, status: true };
        let mut pod = json!({"spec": {"containers": [container("1")]}, "status": {"containerStatuses": [
            {"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}, "allocatedResources": {"cpu": "4"}}]}});
        assert_eq!((cpu(&pod, Of::Requests, sum), cpu(&pod, Of::Limits, sum)), ("4".into(), "3".into()));
        pod["spec"]["containers"][0] = container("8");
        assert_eq!(cpu(&pod, Of::Requests, sum), "8");
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        assert_eq!((cpu(&pod, Of::Requests, sum), cpu(&pod, Of::Limits, sum)), ("4".into(), "3".into()));
    }
}
