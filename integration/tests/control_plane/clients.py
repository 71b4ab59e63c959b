"""The Python client's own ways of asking: typed and dynamic, paged, watched, and kept up to date by its informer."""

import sys
import threading
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

SOON = 20


def until(what, holds):
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end, f"still waiting until {what}"
        time.sleep(0.01)


def config_map(name, **data):
    meta = client.V1ObjectMeta(name=name, labels={"set": "s"})
    return client.V1ConfigMap(metadata=meta, data=data)


def objects(core):
    made = core.create_namespaced_config_map("default", config_map("one", k="v"))
    assert made.metadata.uid and made.data == {"k": "v"}
    changed = core.patch_namespaced_config_map("one", "default", {"data": {"l": "w"}})
    assert changed.data == {"k": "v", "l": "w"}
    made.data = {"late": "x"}
    try:
        core.replace_namespaced_config_map("one", "default", made)
        raise AssertionError("an old version was taken")
    except ApiException as error:
        assert error.status == 409 and "the object has been modified" in error.body, error
    for n in range(7):
        core.create_namespaced_config_map("default", config_map(f"page-{n}"))
    names, token, pages = [], None, 0
    while pages == 0 or token:
        page = core.list_namespaced_config_map("default", label_selector="set", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token, pages = page.metadata._continue, pages + 1
    assert pages == 3 and names == ["one"] + [f"page-{n}" for n in range(7)], names
    core.delete_collection_namespaced_config_map("default", label_selector="set")
    assert core.list_namespaced_config_map("default", label_selector="set").items == []


def rolls_out(apps, core):
    labels = {"app": "web"}
    spec = client.V1DeploymentSpec(
        replicas=3,
        selector=client.V1LabelSelector(match_labels=labels),
        template=client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels=labels),
            spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="i:0")]),
        ),
    )
    apps.create_namespaced_deployment("default", client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))
    ready = lambda: apps.read_namespaced_deployment_status("web", "default").status.ready_replicas
    until("three are ready", lambda: ready() == 3)
    apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 1}})
    until("one is ready", lambda: ready() == 1)
    apps.delete_namespaced_deployment("web", "default", propagation_policy="Foreground")
    until("all are gone", lambda: core.list_namespaced_pod("default", label_selector="app=web").items == [])


def watches(core):
    version = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map("watched"))
    core.patch_namespaced_config_map("watched", "default", {"data": {"k": "v"}})
    core.delete_namespaced_config_map("watched", "default")
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=2
    )
    seen = [(event["type"], event["object"].metadata.name) for event in stream]
    assert seen == [(kind, "watched") for kind in ("ADDED", "MODIFIED", "DELETED")], seen


def informs(core):
    core.create_namespaced_config_map("default", config_map("before"))
    informer = SharedInformer(core.list_namespaced_config_map, namespace="default", label_selector="set")
    seen, lock = [], threading.Lock()

    def handler(kind):
        def note(object):
            with lock:
                seen.append((kind, object.metadata.name))

        return note

    for kind in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(kind, handler(kind))
    informer.start()
    until("it knows what was there", lambda: (ADDED, "before") in seen)
    core.create_namespaced_config_map("default", config_map("after"))
    core.patch_namespaced_config_map("after", "default", {"data": {"k": "v"}})
    core.delete_namespaced_config_map("before", "default")
    until("it has heard of everything", lambda: (DELETED, "before") in seen)
    assert seen == [(ADDED, "before"), (ADDED, "after"), (MODIFIED, "after"), (DELETED, "before")], seen
    assert [item.metadata.name for item in informer.cache.list()] == ["after"]
    core.delete_namespaced_config_map("after", "default")


def dynamically(api):
    kinds = dynamic.DynamicClient(api)
    roles = kinds.resources.get(api_version="rbac.authorization.k8s.io/v1", kind="Role")
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    applied = kinds.server_side_apply(roles, body, namespace="default", field_manager="python")
    assert applied.rules[0].verbs == ["get"]
    assert applied.metadata.managedFields[0].operation == "Apply"
    roles.delete(name="r", namespace="default")


def credentials(core):
    core.create_namespaced_service_account("default", client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot")))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    token = core.create_namespaced_service_account_token("robot", "default", request).status.token
    own = client.Configuration.get_default_copy()
    own.cert_file = own.key_file = None
    own.api_key, own.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    api = client.ApiClient(own)
    user = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview()).status.user_info
    assert user.username == "system:serviceaccount:default:robot", user
    try:
        client.CoreV1Api(api).list_namespaced_secret("default")
        raise AssertionError("an account without roles lists secrets")
    except ApiException as error:
        assert error.status == 403


config.load_kube_config(sys.argv[1])
core, apps = client.CoreV1Api(), client.AppsV1Api()
assert client.VersionApi().get_code().minor == "36"
objects(core)
watches(core)
informs(core)
rolls_out(apps, core)
dynamically(client.ApiClient())
credentials(core)
