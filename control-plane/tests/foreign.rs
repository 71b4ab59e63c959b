//! Whatever is sent, the server answers in its own words, soon, and goes on: bodies in every encoding that were damaged
//! as values or as bytes, patches of every kind, selectors and options of every text.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use control_plane::apiserver::auth::User;
use control_plane::apiserver::protobuf;
use control_plane::apiserver::server::Server;
use control_plane::storage::{Change, Embedded, Expect, Store};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// An answer takes milliseconds.
const SOON: Duration = Duration::from_secs(20);

struct World {
    runtime: Runtime,
    server: Arc<Server>,
}

/// Cases share it: what one of them stores the others may meet.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory().unwrap());
    let server = Server::new(store.clone(), "127.0.0.1:6443".to_owned()).unwrap();
    runtime.spawn(server.clone().follow());
    let put = |key: &str, value: Value| {
        let change = Change::Put { value: value.to_string().into(), ttl: None };
        runtime.block_on(store.write(key, Expect::Absent, change)).unwrap();
    };
    let meta = |name: &str| json!({"name": name, "namespace": "default", "uid": "u"});
    put(
        "/registry/namespaces/default",
        json!({"metadata": {"name": "default"}, "status": {"phase": "Active"}}),
    );
    put("/registry/serviceaccounts/default/default", json!({"metadata": meta("default")}));
    let world = World { runtime, server };
    for (path, _, object) in kinds() {
        let (code, answer) = world.send("POST", &path, "application/json", object.to_string().into_bytes());
        assert_eq!(code, 201, "{path}: {answer}");
    }
    world
});

impl World {
    /// The answer; no server may say what is checked here.
    fn send(&self, method: &str, uri: &str, media: &str, body: Vec<u8>) -> (u16, Value) {
        let Ok(request) =
            Request::builder().method(method).uri(uri).header("content-type", media).body(Full::from(body))
        else {
            return (0, Value::Null);
        };
        let answered = self.runtime.block_on(async {
            tokio::time::timeout(SOON, async {
                let (parts, body) = self.server.answer_as(User::master(), request).await.into_parts();
                // A watch's answer ends when its client goes.
                let watched = parts.status == 200 && uri.contains("watch=");
                let bytes =
                    if watched { Default::default() } else { body.collect().await.unwrap().to_bytes() };
                (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
            })
            .await
        });
        let (code, answer): (u16, Value) = answered.unwrap_or_else(|_| panic!("no answer to {method} {uri}"));
        assert_ne!(answer["message"], "the server panicked", "{method} {uri}");
        assert_ne!(code, 504, "{method} {uri}: {answer}");
        if code >= 400 && !answer.is_null() {
            assert_eq!(
                (&answer["kind"], &answer["code"]),
                (&json!("Status"), &json!(code)),
                "{method} {uri}: {answer}"
            );
        }
        (code, answer)
    }
}

/// Collections, objects' paths, and an object of each.
fn kinds() -> Vec<(String, String, Value)> {
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}}],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}], "tolerations": [{"operator": "Exists"}]}});
    let selector =
        json!({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]});
    [
        ("", "v1", "pods", "Pod", json!({"spec": template["spec"]})),
        ("", "v1", "configmaps", "ConfigMap", json!({"data": {"k": "v"}, "binaryData": {"b": "AAEC"}})),
        ("", "v1", "secrets", "Secret", json!({"stringData": {"k": "v"}, "type": "Opaque"})),
        ("apps", "v1", "deployments", "Deployment",
            json!({"spec": {"selector": selector, "template": template, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}})),
        ("apps", "v1", "statefulsets", "StatefulSet",
            json!({"spec": {"selector": selector, "template": template, "serviceName": "s"}})),
        ("batch", "v1", "cronjobs", "CronJob", json!({"spec": {"schedule": "0 2 * * *", "jobTemplate": {"spec":
            {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}})),
        ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", json!({"spec": {"maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}})),
        ("rbac.authorization.k8s.io", "v1", "roles", "Role",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})),
        ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", json!({"spec": {"podSelector": selector,
            "ingress": [{"ports": [{"port": "http"}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}})),
        ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", json!({"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}})),
    ]
    .into_iter()
    .map(|(group, version, resource, kind, mut object)| {
        let (api, root) = match group {
            "" => (version.to_owned(), "/api".to_owned()),
            group => (format!("{group}/{version}"), format!("/apis/{group}")),
        };
        object["apiVersion"] = api.into();
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": "o", "labels": {"a": "b"}, "annotations": {"c": "d"}});
        let collection = format!("{root}/{version}/namespaces/default/{resource}");
        (collection.clone(), format!("{collection}/o"), object)
    })
    .collect()
}

/// What nobody means to send.
fn odd() -> impl Strategy<Value = Value> {
    let texts = select(vec![
        "",
        " ",
        ".",
        "..",
        "/",
        "\0",
        "é",
        "-1",
        "1e999999",
        "100%",
        "-5%",
        "9223372036854775808",
        "1Ei1",
        "2026-13-01T00:00:00Z",
        "*/0 * * * *",
        "TZ=x 0 0 31 2 *",
        "::1",
        "10.0.0.0/99",
        "=",
        "a in (",
        "$(A)",
        "$patch",
        "\u{feff}",
        "a/b/c",
    ]);
    let numbers = select(vec![
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-0.0),
        json!(0.1),
        json!(2_147_483_648_i64),
        json!(65_536),
    ]);
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        texts.prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        (1_usize..70_000).prop_map(|length| "x".repeat(length).into()),
        numbers,
        Just(json!({})),
        Just(json!([])),
        Just(json!([null])),
        Just(json!([{}, {}])),
        Just(json!({"": ""})),
        Just(json!({"$patch": "replace"})),
        Just(json!({"$patch": "delete"})),
        Just(
            json!({"$retainKeys": ["a"], "$setElementOrder/containers": [{"name": "x"}], "$deleteFromPrimitiveList/finalizers": [1]})
        ),
        (1_usize..160).prop_map(|depth| (0..depth).fold(json!(1), |inner, _| json!({"a": [inner]}))),
    ]
}

/// A change of a value at a place.
#[derive(Debug, Clone)]
enum Damage {
    Put(Index, Value),
    Remove(Index),
    Rename(Index, String),
    Double(Index),
    Swap(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), odd()).prop_map(|(at, value)| Damage::Put(at, value)),
        1 => any::<Index>().prop_map(Damage::Remove),
        1 => (any::<Index>(), "[a-z$/]{0,4}|managedFields|ownerReferences|finalizers|spec|status|metadata|[a-z]{3}Fields")
            .prop_map(|(at, name)| Damage::Rename(at, name)),
        1 => any::<Index>().prop_map(Damage::Double),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

/// Places of all values, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), all));
        }
        _ => {}
    }
}

fn damaged(mut object: Value, damages: &[Damage]) -> Value {
    for damage in damages {
        let mut all = Vec::new();
        places(&object, "", &mut all);
        let place = |index: &Index| all[index.index(all.len())].clone();
        let parent =
            |place: &str| place.rsplit_once('/').map(|(parent, name)| (parent.to_owned(), name.to_owned()));
        match damage {
            Damage::Put(at, value) => {
                if let Some(place) = object.pointer_mut(&place(at)) {
                    place.clone_from(value);
                }
            }
            Damage::Remove(at) | Damage::Rename(at, _) => {
                if let Some((parent, name)) = parent(&place(at))
                    && let Some(fields) = object.pointer_mut(&parent).and_then(Value::as_object_mut)
                    && let Some(value) = fields.remove(&name)
                    && let Damage::Rename(_, name) = damage
                {
                    fields.insert(name.clone(), value);
                }
            }
            Damage::Double(at) => {
                if let Some(list) = object.pointer_mut(&place(at)).and_then(Value::as_array_mut) {
                    list.extend(list.clone());
                }
            }
            Damage::Swap(a, b) => {
                let other = object.pointer(&place(b)).cloned().unwrap_or_default();
                if let Some(place) = object.pointer_mut(&place(a)) {
                    *place = other;
                }
            }
        }
    }
    object
}

/// How bytes go wrong on their way.
fn torn(mut bytes: Vec<u8>, wrong: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    for (at, byte) in wrong {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

fn query() -> impl Strategy<Value = String> {
    let name = select(vec![
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersionMatch",
        "timeoutSeconds",
        "watch",
        "allowWatchBookmarks",
        "sendInitialEvents",
        "dryRun",
        "fieldManager",
        "fieldValidation",
        "force",
        "pretty",
        "includeObject",
        "gracePeriodSeconds",
        "propagationPolicy",
        "orphanDependents",
    ]);
    let value = prop_oneof![
        "[a-z=!,() ]{0,12}",
        "-?[0-9]{0,20}",
        select(vec![
            "true",
            "All",
            "Strict",
            "Exact",
            "NotOlderThan",
            "metadata.name=o",
            "spec.nodeName!=",
            "a in (b,c),!d",
            "%",
            "%zz",
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    let escape = |text: String| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let pair = (name, value, any::<bool>()).prop_map(move |(name, value, raw)| {
        let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        format!("{name}={}", if raw && plain { value } else { escape(value) })
    });
    // One from the future would be waited for.
    let version =
        select(vec!["resourceVersion=0", "resourceVersion=1", "resourceVersion=-1", "resourceVersion=x"]);
    let pair = prop_oneof![9 => pair, 1 => version.prop_map(str::to_owned)];
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join("&"))
}

const PATCHES: [&str; 4] = [
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn damaged_objects_are_taken_or_refused(
        kind in any::<Index>(),
        damages in proptest::collection::vec(damage(), 0..4),
        bytes in (proptest::collection::vec((any::<Index>(), any::<u8>()), 0..2), proptest::option::weighted(0.1, any::<Index>())),
        encoding in 0..3,
        way in 0..6,
        query in query(),
    ) {
        let kinds = kinds();
        let (collection, path, object) = &kinds[kind.index(kinds.len())];
        let object = damaged(object.clone(), &damages);
        let (media, body) = match encoding {
            0 => ("application/json", object.to_string().into_bytes()),
            1 => ("application/yaml", object.to_string().into_bytes()),
            _ => match protobuf::encode(&object) {
                Ok(body) => (protobuf::MEDIA_TYPE, body),
                Err(_) => return Ok(()),
            },
        };
        let body = torn(body, &bytes.0, bytes.1);
        let (method, uri) = match way {
            0 | 1 => ("POST", format!("{collection}?dryRun=All&{query}")),
            2 => ("PUT", format!("{path}?{query}")),
            3 => ("PUT", format!("{path}/status?{query}")),
            4 => ("DELETE", format!("{path}?dryRun=All&{query}")),
            _ => ("PUT", format!("{path}?fieldValidation=Ignore")),
        };
        WORLD.send(method, &uri, media, body);
    }

    #[test]
    fn damaged_patches_are_taken_or_refused(
        kind in any::<Index>(),
        damages in proptest::collection::vec(damage(), 0..4),
        operations in proptest::collection::vec(
            (select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]), any::<Index>(), any::<Index>(), odd()), 0..4),
        media in select(PATCHES.to_vec()),
        bytes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..2),
        query in query(),
        status in any::<bool>(),
    ) {
        let kinds = kinds();
        let (_, path, object) = &kinds[kind.index(kinds.len())];
        let patch = if media == PATCHES[2] {
            let mut all = Vec::new();
            places(object, "", &mut all);
            let operation = |(op, path, from, value): &(&str, Index, Index, Value)| {
                json!({"op": op, "path": all[path.index(all.len())], "from": all[from.index(all.len())], "value": value})
            };
            operations.iter().map(operation).collect()
        } else {
            damaged(object.clone(), &damages)
        };
        let body = torn(patch.to_string().into_bytes(), &bytes, None);
        let part = if status { "/status" } else { "" };
        WORLD.send("PATCH", &format!("{path}{part}?fieldManager=m&force=true&{query}"), media, body);
    }

    #[test]
    fn any_options_are_taken_or_refused(kind in any::<Index>(), query in query(), one in any::<bool>()) {
        let kinds = kinds();
        let (collection, path, _) = &kinds[kind.index(kinds.len())];
        WORLD.send("GET", &format!("{}?{query}", if one { path } else { collection }), "", Vec::new());
    }
}
