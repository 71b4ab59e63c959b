//! The table of a Pod outside its containers and volumes.

use super::Shape::{Any, Boolean, Integer, Integers, List, Object, Quantities, Text, TextMap, Texts};
use super::Support::{Done, Inert, Only, Refused};
use super::container::{CONTAINER, RESOURCES, SECCOMP_PROFILE};
use super::volume::VOLUME;
use super::{Type, field};

pub(super) const NEEDS_API: &str = "static pods may not reference objects of an API server";
const SCHEDULER: &str = "read by schedulers; a static pod is bound to its node by where its manifest lies";
const SERVER: &str = "written by an API server, which a static pod has none of";
const WINDOWS: &str = "not a field of Linux pods";
const NO_USERNS: &str = "pods share the node's user namespace";
const NO_APPARMOR: &str = "AppArmor profiles are not applied";
pub(super) const NO_SELINUX: &str = "SELinux labels are not applied";

/// A Pod.
pub static POD: Type = Type {
    name: "Pod",
    fields: &[
        field("apiVersion", Text, Only(&["v1"], "only v1 is known")),
        field("kind", Text, Only(&["Pod"], "only pods are known")),
        field("metadata", Object(&META), Done("golden plain")),
        field("spec", Object(&SPEC), Done("golden plain")),
        field("status", Any, Inert("the kubelet writes it")),
    ],
};

static META: Type = Type {
    name: "ObjectMeta",
    fields: &[
        field("annotations", TextMap, Done("golden labels")),
        field("creationTimestamp", Any, Inert(SERVER)),
        field("deletionGracePeriodSeconds", Integer, Refused("a static pod ends when its manifest goes")),
        field("deletionTimestamp", Any, Refused("a static pod ends when its manifest goes")),
        field("finalizers", Texts, Inert(SERVER)),
        field("generateName", Text, Inert(SERVER)),
        field("generation", Integer, Inert(SERVER)),
        field("labels", TextMap, Done("golden labels")),
        field("managedFields", Any, Inert(SERVER)),
        field("name", Text, Done("golden plain")),
        field("namespace", Text, Done("golden plain")),
        field("ownerReferences", Any, Inert(SERVER)),
        field("resourceVersion", Text, Inert(SERVER)),
        field("selfLink", Text, Inert(SERVER)),
        field("uid", Text, Done("unit source::manifest a_uid_of_the_manifest_is_kept")),
    ],
};

static SPEC: Type = Type {
    name: "PodSpec",
    fields: &[
        field("activeDeadlineSeconds", Integer, Done("kubelet a_deadline_fails_the_pod")),
        field("affinity", Any, Inert(SCHEDULER)),
        field("automountServiceAccountToken", Boolean, Only(&["false"], NEEDS_API)),
        field("containers", List(&CONTAINER), Done("golden plain")),
        field("dnsConfig", Object(&DNS), Done("golden dns")),
        field("dnsPolicy", Text, Done("golden dns-default")),
        field("enableServiceLinks", Boolean, Inert("there are no Services without an API server")),
        field("ephemeralContainers", Any, Refused("a static pod has no ephemeral containers")),
        field("hostAliases", List(&HOST_ALIAS), Done("unit volumes::hosts aliases_follow_the_pods_own_line")),
        field("hostIPC", Boolean, Done("golden host-namespaces")),
        field("hostNetwork", Boolean, Done("golden host-namespaces")),
        field("hostPID", Boolean, Done("golden host-namespaces")),
        field("hostUsers", Boolean, Only(&["true"], NO_USERNS)),
        field("hostname", Text, Done("golden hosts")),
        field("hostnameOverride", Text, Done("unit translate the_override_is_the_whole_name")),
        field("imagePullSecrets", Any, Refused(NEEDS_API)),
        field("initContainers", List(&CONTAINER), Done("golden init")),
        field("nodeName", Text, Inert("a static pod is bound to this node")),
        field("nodeSelector", TextMap, Refused("the node has no labels to compare with")),
        field("os", Object(&OS), Done("unit fields only_linux_pods_run")),
        field("overhead", Quantities, Done("unit translate overhead_adds_to_the_pod")),
        field("preemptionPolicy", Text, Inert(SCHEDULER)),
        field("priority", Integer, Done("unit translate critical_pods_are_spared_by_the_oom_killer")),
        field("priorityClassName", Text, Inert("resolved by an API server; a static pod is critical anyway")),
        field("readinessGates", Any, Refused("conditions of others need an API server")),
        field("resourceClaims", Any, Refused(NEEDS_API)),
        field("resources", Object(&RESOURCES), Done("golden pod-resources")),
        field("restartPolicy", Text, Done("golden crashes")),
        field("runtimeClassName", Text, Refused(NEEDS_API)),
        field("schedulerName", Text, Inert(SCHEDULER)),
        field("schedulingGates", Any, Refused(SCHEDULER)),
        field("schedulingGroup", Any, Inert(SCHEDULER)),
        field("securityContext", Object(&SECURITY), Done("golden security")),
        field("serviceAccount", Text, Refused(NEEDS_API)),
        field("serviceAccountName", Text, Refused(NEEDS_API)),
        field("setHostnameAsFQDN", Boolean, Done("golden fqdn")),
        field("shareProcessNamespace", Boolean, Done("golden share-pids")),
        field("subdomain", Text, Done("golden fqdn")),
        field("terminationGracePeriodSeconds", Integer, Done("golden plain")),
        field("tolerations", Any, Inert(SCHEDULER)),
        field("topologySpreadConstraints", Any, Inert(SCHEDULER)),
        field("volumes", List(&VOLUME), Done("golden volumes")),
    ],
};

static DNS: Type = Type {
    name: "PodDNSConfig",
    fields: &[
        field("nameservers", Texts, Done("golden dns")),
        field("options", List(&DNS_OPTION), Done("golden dns")),
        field("searches", Texts, Done("golden dns")),
    ],
};

static DNS_OPTION: Type = Type {
    name: "PodDNSConfigOption",
    fields: &[field("name", Text, Done("golden dns")), field("value", Text, Done("golden dns"))],
};

static HOST_ALIAS: Type = Type {
    name: "HostAlias",
    fields: &[
        field("hostnames", Texts, Done("unit volumes::hosts aliases_follow_the_pods_own_line")),
        field("ip", Text, Done("unit volumes::hosts aliases_follow_the_pods_own_line")),
    ],
};

static OS: Type =
    Type { name: "PodOS", fields: &[field("name", Text, Only(&["linux"], "this node runs Linux"))] };

static SECURITY: Type = Type {
    name: "PodSecurityContext",
    fields: &[
        field("appArmorProfile", Any, Refused(NO_APPARMOR)),
        field("fsGroup", Integer, Done("golden security")),
        field("fsGroupChangePolicy", Text, Done("unit volumes::ownership a_root_that_matches_is_left_alone")),
        field("runAsGroup", Integer, Done("unit translate the_container_overrides_the_pod")),
        field("runAsNonRoot", Boolean, Done("unit translate non_root_is_verified")),
        field("runAsUser", Integer, Done("unit translate the_container_overrides_the_pod")),
        field("seLinuxChangePolicy", Text, Inert("there are no SELinux labels to change")),
        field("seLinuxOptions", Any, Refused(NO_SELINUX)),
        field("seccompProfile", Object(&SECCOMP_PROFILE), Done("golden seccomp-runtime")),
        field("supplementalGroups", Integers, Done("golden security")),
        field("supplementalGroupsPolicy", Text, Done("unit translate the_container_overrides_the_pod")),
        field("sysctls", List(&SYSCTL), Done("golden security")),
        field("windowsOptions", Any, Refused(WINDOWS)),
    ],
};

static SYSCTL: Type = Type {
    name: "Sysctl",
    fields: &[field("name", Text, Done("golden security")), field("value", Text, Done("golden security"))],
};
