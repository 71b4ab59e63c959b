use super::*;

const GOOD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: c, image: i}\n";

fn of(text: &str) -> Result<Pod, ManifestError> {
    read_manifest(text.as_bytes(), "/m/a.yaml", "lab", Timestamp::UNIX_EPOCH)
}

fn why(text: &str) -> String {
    of(text).unwrap_err().to_string()
}

#[test]
fn a_static_pod_is_named_after_its_node() {
    let pod = of(GOOD).unwrap();
    let meta = &pod.metadata;
    assert_eq!(meta.name.as_deref(), Some("a-lab"));
    assert_eq!(meta.namespace.as_deref(), Some("default"));
    let uid = meta.uid.clone().unwrap();
    assert_eq!(uid.len(), 32);
    let annotations = meta.annotations.as_ref().unwrap();
    assert_eq!(annotations[labels::CONFIG_HASH], uid);
    assert_eq!(annotations[labels::CONFIG_SOURCE], "file");
    assert_eq!(annotations[labels::CONFIG_SEEN], "1970-01-01T00:00:00Z");
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("lab"));
}

#[test]
fn the_uid_follows_content_file_and_node_but_not_the_time() {
    let uid = |text: &str, file, node, second| {
        let seen = Timestamp::from_second(second).unwrap();
        read_manifest(text.as_bytes(), file, node, seen).unwrap().metadata.uid.unwrap()
    };
    let first = uid(GOOD, "/m/a", "n", 0);
    assert_eq!(first, uid(GOOD, "/m/a", "n", 5));
    assert_eq!(first, uid(&format!("# comment\n{GOOD}"), "/m/a", "n", 0));
    assert_ne!(first, uid(GOOD, "/m/b", "n", 0));
    assert_ne!(first, uid(GOOD, "/m/a", "o", 0));
    assert_ne!(first, uid(&GOOD.replace("image: i", "image: j"), "/m/a", "n", 0));
}

#[test]
fn a_uid_of_the_manifest_is_kept() {
    let pod = of(&GOOD.replace("{name: a}", "{name: a, uid: u-1}")).unwrap();
    assert_eq!(pod.metadata.uid.as_deref(), Some("u-1"));
    assert_eq!(pod.metadata.annotations.unwrap()[labels::CONFIG_HASH], "u-1");
}

#[test]
fn json_and_yaml_are_the_same_pod() {
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    assert_eq!(of(json).unwrap(), of(GOOD).unwrap());
    assert_eq!(of(&format!("---\n{GOOD}---\n")).unwrap(), of(GOOD).unwrap());
}

#[test]
fn file_modes_are_octal() {
    let text = format!("{GOOD}  volumes:\n  - name: d\n    downwardAPI: {{defaultMode: 0644, items: []}}\n");
    let volumes = of(&text).unwrap().spec.unwrap().volumes.unwrap();
    assert_eq!(volumes[0].downward_api.as_ref().unwrap().default_mode, Some(0o644));
}

#[test]
fn what_is_wrong_is_named_with_field_and_value() {
    assert_eq!(why(""), "the manifest is empty");
    assert!(why("a: [").starts_with("parsing: "), "{}", why("a: ["));
    let bomb = format!("a: &a [x]\nb: [{}]\n", "*a, ".repeat(100_000));
    for text in ["a: [", "a: {b: 1, b: 2}", "\t- a\n: b\n", &bomb] {
        let said = why(text);
        assert!(!said.contains('\n') && said.len() < 400, "{said}");
    }
    assert_eq!(why("kind: Deployment\n"), r#"apiVersion: "", kind: "Deployment": a manifest holds a v1 Pod"#);
    assert!(why(&format!("{GOOD}---\n{GOOD}")).contains("one pod"));
    assert_eq!(
        why(&GOOD.replace("image: i", "imag: i")),
        r#"spec.containers[0].imag: unknown field: value "i""#
    );
    assert_eq!(
        why(&GOOD
            .replace("image: i", "image: i, readinessProbe: {tcpSocket: {port: 1}, exec: {command: [a]}}")),
        r#"spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type: value {"port":1}"#
    );
    assert_eq!(why(&GOOD.replace("image: i", "image: ''")), "spec.containers[0].image: Required value");
    assert_eq!(
        why(&GOOD.replace("image: i", "image: i, imagePullPolicy: Sometimes")),
        r#"spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#
    );
}

#[test]
fn a_key_that_is_there_twice_is_refused_in_json_as_in_yaml() {
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    assert!(why(json).starts_with("parsing: duplicate field \"metadata.name\""), "{}", why(json));
    let yaml = GOOD.replace("{name: a}", "{name: a, name: b}");
    assert!(why(&yaml).contains("uplicate"), "{}", why(&yaml));
    // Flow style looks like JSON.
    assert!(
        of("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}")
            .is_ok()
    );
}

#[test]
fn the_name_is_known_however_wrong_the_rest_is() {
    let name = |text: &str| read(text.as_bytes(), "/m/a", "lab", Timestamp::UNIX_EPOCH).name;
    assert_eq!(name(&GOOD.replace("kind: Pod", "kind: Pot")).as_deref(), Some("default/a"));
    assert_eq!(name(&GOOD.replace("{name: a}", "{name: a, namespace: ns}")).as_deref(), Some("ns/a"));
    assert_eq!(name("a: ["), None);
}
