//! The table of a container.

use super::Shape::{Any, Boolean, IntOrString, Integer, List, Object, Quantities, Quantity, Text, Texts};
use super::Support::{Done, Inert, Only, Refused};
use super::pod::{NEEDS_API, NO_SELINUX};
use super::{Type, field};

pub(super) static CONTAINER: Type = Type {
    name: "Container",
    fields: &[
        field("args", Texts, Done("golden args-only")),
        field("command", Texts, Done("golden plain")),
        field("env", List(&ENV), Done("golden env")),
        field("envFrom", Any, Refused(NEEDS_API)),
        field("image", Text, Done("golden plain")),
        field("imagePullPolicy", Text, Done("golden never-pull")),
        field("lifecycle", Object(&LIFECYCLE), Done("golden stop-signal")),
        field("livenessProbe", Object(&PROBE), Done("golden probes")),
        field("name", Text, Done("golden plain")),
        field("ports", List(&PORT), Done("golden host-port")),
        field("readinessProbe", Object(&PROBE), Done("golden probes")),
        field("resizePolicy", Any, Inert("a static pod is not resized: a changed manifest is another pod")),
        field("resources", Object(&RESOURCES), Done("golden guaranteed")),
        field("restartPolicy", Text, Done("golden init")),
        field("restartPolicyRules", Any, Refused("rules of a container's restarts are not implemented")),
        field("securityContext", Object(&SECURITY), Done("golden security")),
        field("startupProbe", Object(&PROBE), Done("golden probes")),
        field("stdin", Boolean, Done("golden terminal")),
        field("stdinOnce", Boolean, Done("golden terminal")),
        field("terminationMessagePath", Text, Done("golden workdir")),
        field("terminationMessagePolicy", Text, Done("golden workdir")),
        field("tty", Boolean, Done("golden terminal")),
        field("volumeDevices", Any, Refused("block volumes are not implemented")),
        field("volumeMounts", List(&MOUNT), Done("golden volumes")),
        field("workingDir", Text, Done("golden workdir")),
    ],
};

static ENV: Type = Type {
    name: "EnvVar",
    fields: &[
        field("name", Text, Done("golden env")),
        field("value", Text, Done("golden env")),
        field("valueFrom", Object(&ENV_SOURCE), Done("golden env")),
    ],
};

static ENV_SOURCE: Type = Type {
    name: "EnvVarSource",
    fields: &[
        field("configMapKeyRef", Any, Refused(NEEDS_API)),
        field("fieldRef", Object(&FIELD_REF), Done("golden env")),
        field("fileKeyRef", Any, Refused("environment files are not implemented")),
        field("resourceFieldRef", Object(&RESOURCE_REF), Done("golden env")),
        field("secretKeyRef", Any, Refused(NEEDS_API)),
    ],
};

pub(super) static FIELD_REF: Type = Type {
    name: "ObjectFieldSelector",
    fields: &[
        field("apiVersion", Text, Only(&["", "v1"], "only v1 is known")),
        field("fieldPath", Text, Done("golden env")),
    ],
};

pub(super) static RESOURCE_REF: Type = Type {
    name: "ResourceFieldSelector",
    fields: &[
        field("containerName", Text, Done("unit translate resources_of_another_container_are_found")),
        field("divisor", Quantity, Done("golden env")),
        field("resource", Text, Done("golden env")),
    ],
};

static PORT: Type = Type {
    name: "ContainerPort",
    fields: &[
        field("containerPort", Integer, Done("golden host-port")),
        field("hostIP", Text, Done("golden host-port")),
        field("hostPort", Integer, Done("golden host-port")),
        field("name", Text, Done("unit translate ports_are_annotated")),
        field("protocol", Text, Done("golden host-port")),
    ],
};

pub(super) static RESOURCES: Type = Type {
    name: "ResourceRequirements",
    fields: &[
        field("claims", Any, Refused(NEEDS_API)),
        field("limits", Quantities, Done("golden guaranteed")),
        field("requests", Quantities, Done("golden burstable")),
    ],
};

static MOUNT: Type = Type {
    name: "VolumeMount",
    fields: &[
        field("mountPath", Text, Done("golden volumes")),
        field("mountPropagation", Text, Done("unit translate propagation_and_recursion_are_passed_on")),
        field("name", Text, Done("golden volumes")),
        field("readOnly", Boolean, Done("golden volumes")),
        field("recursiveReadOnly", Text, Done("unit translate propagation_and_recursion_are_passed_on")),
        field("subPath", Text, Done("golden volumes")),
        field("subPathExpr", Text, Done("unit volumes::subpath a_path_is_made_inside_the_volume")),
    ],
};

static LIFECYCLE: Type = Type {
    name: "Lifecycle",
    fields: &[
        field("postStart", Object(&HANDLER), Done("kubelet a_post_start_hook_holds_back_what_follows")),
        field("preStop", Object(&HANDLER), Done("kubelet a_pre_stop_hook_goes_before_the_signal")),
        field("stopSignal", Text, Done("golden stop-signal")),
    ],
};

static HANDLER: Type = Type {
    name: "LifecycleHandler",
    fields: &[
        field("exec", Object(&EXEC), Done("kubelet a_pre_stop_hook_goes_before_the_signal")),
        field("httpGet", Object(&HTTP), Done("kubelet hooks_ask_over_http")),
        field("sleep", Object(&SLEEP), Done("kubelet hooks_sleep")),
        field("tcpSocket", Any, Refused("a hook that connects does nothing")),
    ],
};

static SLEEP: Type =
    Type { name: "SleepAction", fields: &[field("seconds", Integer, Done("kubelet hooks_sleep"))] };

static PROBE: Type = Type {
    name: "Probe",
    fields: &[
        field("exec", Object(&EXEC), Done("golden probes")),
        field("failureThreshold", Integer, Done("golden probes")),
        field("grpc", Any, Refused("gRPC probes are not implemented")),
        field("httpGet", Object(&HTTP), Done("golden probes")),
        field("initialDelaySeconds", Integer, Done("golden probes")),
        field("periodSeconds", Integer, Done("golden probes")),
        field("successThreshold", Integer, Done("golden probes")),
        field("tcpSocket", Object(&TCP), Done("golden probes")),
        field("terminationGracePeriodSeconds", Integer, Done("golden probes")),
        field("timeoutSeconds", Integer, Done("golden probes")),
    ],
};

static EXEC: Type = Type { name: "ExecAction", fields: &[field("command", Texts, Done("golden probes"))] };

static HTTP: Type = Type {
    name: "HTTPGetAction",
    fields: &[
        field("host", Text, Done("golden probes")),
        field("httpHeaders", List(&HEADER), Done("golden probes")),
        field("path", Text, Done("golden probes")),
        field("port", IntOrString, Done("golden probes")),
        field("scheme", Text, Done("golden probes")),
    ],
};

static HEADER: Type = Type {
    name: "HTTPHeader",
    fields: &[field("name", Text, Done("golden probes")), field("value", Text, Done("golden probes"))],
};

static TCP: Type = Type {
    name: "TCPSocketAction",
    fields: &[field("host", Text, Done("golden probes")), field("port", IntOrString, Done("golden probes"))],
};

static SECURITY: Type = Type {
    name: "SecurityContext",
    fields: &[
        field("allowPrivilegeEscalation", Boolean, Done("golden security")),
        field("appArmorProfile", Any, Refused("AppArmor profiles are not applied")),
        field("capabilities", Object(&CAPABILITIES), Done("golden drop-all")),
        field("privileged", Boolean, Done("golden privileged")),
        field("procMount", Text, Done("golden proc-unmasked")),
        field("readOnlyRootFilesystem", Boolean, Done("golden security")),
        field("runAsGroup", Integer, Done("golden security")),
        field("runAsNonRoot", Boolean, Done("golden run-as-nobody")),
        field("runAsUser", Integer, Done("golden run-as-nobody")),
        field("seLinuxOptions", Any, Refused(NO_SELINUX)),
        field("seccompProfile", Object(&SECCOMP_PROFILE), Done("golden seccomp-unconfined")),
        field("windowsOptions", Any, Refused("not a field of Linux pods")),
    ],
};

static CAPABILITIES: Type = Type {
    name: "Capabilities",
    fields: &[field("add", Texts, Done("golden add-all")), field("drop", Texts, Done("golden drop-all"))],
};

pub(super) static SECCOMP_PROFILE: Type = Type {
    name: "SeccompProfile",
    fields: &[
        field("localhostProfile", Text, Done("unit translate a_local_profile_lies_under_the_kubelets_root")),
        field("type", Text, Done("golden seccomp-runtime")),
    ],
};
