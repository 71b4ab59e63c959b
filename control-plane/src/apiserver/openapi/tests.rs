use serde_json::{Value, json};

use super::*;

fn discovery() -> Value {
    let kind = |kind: &str| json!({"group": "", "version": "", "kind": kind});
    let all = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let some = json!(["get", "patch", "update"]);
    json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {}, "versions": [{"version": "v1", "resources": [
            {"resource": "pods", "responseKind": kind("Pod"), "scope": "Namespaced", "verbs": all, "subresources": [
                {"subresource": "exec", "responseKind": kind("PodExecOptions"), "verbs": ["create", "get"]},
                {"subresource": "log", "responseKind": kind("Pod"), "verbs": ["get"]},
                {"subresource": "eviction", "verbs": ["create"],
                 "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"}},
            ]},
            {"resource": "namespaces", "responseKind": kind("Namespace"), "scope": "Cluster",
             "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]},
        ]}]},
        {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
            {"resource": "deployments", "responseKind": kind("Deployment"), "scope": "Namespaced", "verbs": all,
             "subresources": [{"subresource": "scale", "verbs": some,
                               "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}}]},
        ]}]},
    ]})
}

fn described() -> Value {
    json!({"io.k8s.api.apps.v1.Deployment": {
        "description": "What runs.", "properties": {"spec": {"description": "What is wanted."}, "other": {}},
    }})
}

fn documents() -> OpenApi {
    OpenApi::new("v1.36.2", Resource::from_discovery([&discovery()]), described)
}

fn get(of: &OpenApi, path: &str) -> Value {
    let response = of.answer(&Request { path, ..Request::default() }).unwrap();
    assert_eq!(response.status, 200, "{path}");
    serde_json::from_slice(&response.body).unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[test]
fn every_reference_of_the_committed_schemas_is_there() {
    let definitions = Definitions::builtin(&Value::Null);
    let all = definitions.all();
    assert!(all.len() > 500, "{}", all.len());
    for (name, schema) in all {
        let text = schema.to_string();
        for rest in text.split("\"$ref\":\"").skip(1) {
            let to = rest.split('"').next().unwrap();
            let to = to.strip_prefix(definitions::REFERENCE).unwrap();
            assert!(all.contains_key(to), "{name} refers to {to}");
        }
    }
}

#[test]
fn the_index_names_each_document_by_its_hash() {
    let of = documents();
    let index = get(&of, "/openapi/v3");
    let paths = index["paths"].as_object().unwrap();
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(names, ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1"]);
    for (name, entry) in paths {
        let (path, hash) = entry["serverRelativeURL"].as_str().unwrap().split_once("?hash=").unwrap();
        assert_eq!(path, format!("/openapi/v3/{name}"));
        let response = of.answer(&Request { path, hash: Some(hash), ..Request::default() }).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(header(&response, "etag"), Some(&*format!("\"{hash}\"")));
        assert!(header(&response, "cache-control").unwrap().contains("immutable"));
        let moved = of.answer(&Request { path, hash: Some("0"), ..Request::default() }).unwrap();
        assert_eq!((moved.status, header(&moved, "location")), (301, entry["serverRelativeURL"].as_str()));
    }
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let of = documents();
    for path in ["/openapi/v3", "/openapi/v3/apis/apps/v1", "/openapi/v2"] {
        let first = of.answer(&Request { path, ..Request::default() }).unwrap();
        let etag = header(&first, "etag").unwrap();
        let again = Request { path, if_none_match: Some(etag), ..Request::default() };
        let again = of.answer(&again).unwrap();
        assert_eq!((again.status, again.body.len(), header(&again, "etag")), (304, 0, Some(etag)));
        let other = Request { path, if_none_match: Some("\"0\""), gzip: true, ..Request::default() };
        let other = of.answer(&other).unwrap();
        assert_eq!((other.status, header(&other, "content-encoding")), (200, Some("gzip")));
        let mut json = Vec::new();
        GzDecoder::new(&other.body[..]).read_to_end(&mut json).unwrap();
        assert_eq!(json, first.body);
    }
}

#[test]
fn only_version_2_is_offered_in_protobuf_and_only_what_there_is() {
    let of = documents();
    let status = |path: &str, accept: &str| {
        of.answer(&Request { path, accept: Some(accept), ..Request::default() })
            .map(|response| response.status)
    };
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = of.answer(&Request { path: V2, accept: Some(protobuf), ..Request::default() }).unwrap();
    let [named, _] = gnostic::MEDIA_TYPES;
    assert_eq!((header(&answer, "content-type"), &answer.body[..5]), (Some(named), &b"\x0a\x032.0"[..]));
    assert_eq!(status("/openapi/v3/apis/apps/v1", protobuf), Some(406));
    assert_eq!(status("/openapi/v2", "application/xml"), Some(406));
    assert_eq!(status("/openapi/v2", &format!("{protobuf}, application/json;q=0.5")), Some(200));
    assert_eq!(status("/openapi/v3/apis/apps/v1", "*/*"), Some(200));
    assert_eq!(status("/openapi/v3/apis/apps/v2", "*/*"), None);
    assert_eq!(status("/openapi/v4", "*/*"), None);
    assert_eq!(status("/openapi/v3x", "application/json"), None);
}

#[test]
fn a_document_has_the_schemas_that_its_paths_reach_and_their_descriptions() {
    let document = get(&documents(), "/openapi/v3/apis/apps/v1");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["apps.v1.Deployment", "apps.v1.DeploymentList", "core.v1.PodSpec", "autoscaling.v1.Scale"] {
        assert!(schemas.contains_key(&format!("io.k8s.api.{name}")), "{name}");
    }
    for name in ["DeleteOptions", "Status", "WatchEvent", "Patch", "APIResourceList", "ObjectMeta"] {
        assert!(schemas.contains_key(&Definitions::meta(name)), "{name}");
    }
    assert!(!schemas.contains_key("io.k8s.api.batch.v1.Job"));
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(deployment["description"], "What runs.");
    assert_eq!(deployment["properties"]["spec"]["description"], "What is wanted.");
    assert_eq!(deployment["properties"].get("other"), None);
}

#[test]
fn operations_tell_clients_how_to_write() {
    let document = get(&documents(), "/openapi/v3/apis/apps/v1");
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let patch = &item["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
    let names = |operation: &Value| -> Vec<String> {
        let rows = operation["parameters"].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(patch), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(names(item), ["namespace", "name", "pretty"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        types,
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json"
        ]
    );
    let collection = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"];
    assert_eq!(collection["post"]["operationId"], "createAppsV1NamespacedDeployment");
    assert_eq!(collection["delete"]["operationId"], "deleteAppsV1CollectionNamespacedDeployment");
    assert_eq!(collection["get"]["operationId"], "listAppsV1NamespacedDeployment");
    let everywhere = &document["paths"]["/apis/apps/v1/deployments"]["get"];
    assert_eq!(everywhere["operationId"], "listAppsV1DeploymentForAllNamespaces");
    let answer = &everywhere["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(*answer, "#/components/schemas/io.k8s.api.apps.v1.DeploymentList");
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"];
    assert_eq!(scale["operationId"], "replaceAppsV1NamespacedDeploymentScale");
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
}

#[test]
fn subresources_of_pods_connect_read_and_create() {
    let paths = &get(&documents(), "/openapi/v3/api/v1")["paths"];
    let pod = |sub: &str| &paths[format!("/api/v1/namespaces/{{namespace}}/pods/{{name}}/{sub}")];
    assert_eq!(pod("exec")["post"]["operationId"], "connectCoreV1PostNamespacedPodExec");
    assert_eq!(pod("exec")["get"]["x-kubernetes-action"], "connect");
    assert_eq!(pod("log")["get"]["operationId"], "readCoreV1NamespacedPodLog");
    assert_eq!(pod("log")["get"]["responses"]["200"]["content"]["*/*"]["schema"]["type"], "string");
    assert_eq!(pod("log").get("parameters").map(|rows| rows.as_array().unwrap().len()), Some(2));
    let eviction = &pod("eviction")["post"];
    let body = &eviction["requestBody"]["content"]["*/*"]["schema"]["$ref"];
    assert_eq!(*body, "#/components/schemas/io.k8s.api.policy.v1.Eviction");
    assert_eq!(paths["/api/v1/namespaces/{name}"]["get"]["operationId"], "readCoreV1Namespace");
    assert_eq!(paths["/api/v1/namespaces"].get("delete"), None);
}

#[test]
fn version_2_has_everything_in_one_document() {
    let document = get(&documents(), "/openapi/v2");
    assert_eq!(document["swagger"], "2.0");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["parameters"][0]["schema"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
    );
    assert!(document["paths"]["/api/v1/namespaces"]["get"].is_object());
    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    let spec =
        json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentSpec", "description": "What is wanted."});
    assert_eq!(deployment["properties"]["spec"], spec);
    let quantity = &document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(*quantity, json!({"type": "string"}));
    assert!(!document.to_string().contains("components/schemas"));
}
