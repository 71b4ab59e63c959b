use super::*;

fn deployment() -> Type<'static> {
    Schema::builtin().kind("apps", "v1", "Deployment").unwrap()
}

fn at<'s>(mut of: Type<'s>, path: &[&str]) -> Type<'s> {
    for name in path {
        of = of.field(name).unwrap_or_else(|| panic!("no {name}")).1;
        of = of.item().unwrap_or(of);
    }
    of
}

#[test]
fn every_index_refers_to_a_node_and_names_are_sorted() {
    let schema = Schema::builtin();
    let count = u32::try_from(schema.nodes.len()).unwrap();
    assert!(schema.kinds.is_sorted());
    assert!(schema.kinds.iter().all(|kind| kind.3 < count));
    for node in &schema.nodes {
        let of = match node {
            Node::Struct(structure) => {
                assert!(structure.fields.is_sorted_by(|a, b| a.name < b.name), "{}", structure.name);
                structure.fields.iter().map(|field| field.of).max().unwrap_or_default()
            }
            Node::List(list) => {
                assert_eq!(list.merge == Some("map"), !list.keys.is_empty());
                list.of
            }
            Node::Map { of, .. } | Node::SchemaOrArray { of } => *of,
            Node::SchemaOrBool { of } | Node::SchemaOrStrings { of } => *of,
            _ => 0,
        };
        assert!(of < count);
    }
}

#[test]
fn kinds_are_found_by_group_version_and_kind() {
    let schema = Schema::builtin();
    assert!(schema.kind("", "v1", "Pod").is_some());
    assert!(schema.kind_of("apps/v1", "Deployment").is_some());
    assert!(schema.kind_of("v1", "Pod").is_some());
    assert!(schema.kind("apps", "v1", "Pod").is_none());
    assert_eq!(deployment().structure().unwrap().name, "io.k8s.api.apps.v1.Deployment");
    assert!(schema.kinds().count() > 60);
}

#[test]
fn lists_say_how_they_merge() {
    let container = at(deployment(), &["spec", "template", "spec", "containers"]);
    let (ports, of) = container.field("ports").unwrap();
    assert_eq!(ports.patch(), Patch { merge: true, replace: false, key: Some("containerPort") });
    let Node::List(list) = of.node() else { panic!("no list") };
    assert_eq!(list.keys, ["containerPort", "protocol"]);
    assert!(list.associative());
    let (_, of) = container.field("args").unwrap();
    let Node::List(list) = of.node() else { panic!("no list") };
    assert!(!list.associative());
    let (protocol, _) = at(container, &["ports"]).field("protocol").unwrap();
    assert_eq!(protocol.default, Some("TCP".into()));
}

#[test]
fn what_the_documents_lost_is_there() {
    for (group, kind) in [("storage.k8s.io", "StorageClass"), ("storage.k8s.io", "VolumeAttributesClass")] {
        let of = Schema::builtin().kind(group, "v1", kind).unwrap();
        assert_eq!(of.field("parameters").unwrap().1.go(), "map[string]string");
    }
    let class = Schema::builtin().kind("networking.k8s.io", "v1", "IngressClass").unwrap();
    assert_eq!(at(class, &["spec", "parameters"]).go(), "v1.IngressClassParametersReference");
}
