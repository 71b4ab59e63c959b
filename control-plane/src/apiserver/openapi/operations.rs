//! The operations of resources, as the documents of either version describe them.

use std::collections::BTreeMap;

use super::definitions::Definitions;
use super::parameters::{self, Parameter};
use super::resources::{Kind, Resource};

/// What an operation takes or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A schema by name.
    Schema(String),
    /// Text.
    Text,
}

/// A method on a path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    /// `list`, `post`, `connect` and so on; nothing for discovery.
    pub(super) action: Option<&'static str>,
    pub(super) kind: Option<Kind>,
    /// `apps_v1`
    pub(super) tag: String,
    pub(super) query: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answer: Shape,
    /// The codes of success.
    pub(super) codes: &'static [(&'static str, &'static str)],
    /// It also answers with a stream of events.
    pub(super) watch: bool,
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) schema: String,
    pub(super) types: &'static [&'static str],
    pub(super) required: bool,
}

/// Operations by path.
pub(super) type Paths = BTreeMap<String, Vec<Operation>>;

/// The types of patches that built-in kinds take.
const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
const ANY_TYPE: [&str; 1] = ["*/*"];
const OK: [(&str, &str); 1] = [("200", "OK")];
const CREATED: [(&str, &str); 3] = [("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const CHANGED: [(&str, &str); 2] = [("200", "OK"), ("201", "Created")];
const DELETED: [(&str, &str); 2] = [("200", "OK"), ("202", "Accepted")];
/// The methods of a connection by the verb that allows them.
const CONNECT: [(&str, &str, &str); 5] = [
    ("get", "get", "Get"),
    ("create", "post", "Post"),
    ("update", "put", "Put"),
    ("patch", "patch", "Patch"),
    ("delete", "delete", "Delete"),
];

/// Where a group version is found: `/api/v1`, `/apis/apps/v1`.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The operations of resources of one group version, and the one that lists them.
pub(super) fn of_version(resources: &[&Resource], definitions: &Definitions) -> Paths {
    let mut paths = Paths::new();
    if let Some(first) = resources.first() {
        let root = root(&first.parent.group, &first.parent.version);
        let id = format!("get{}APIResources", camel(&first.parent));
        paths.insert(format!("{root}/"), vec![discovery(id, "APIResourceList", tag(&first.parent))]);
    }
    for resource in resources {
        Writer { resource, definitions, paths: &mut paths }.write();
    }
    paths
}

/// The one operation that tells what is below a path: `get` of `APIGroup` and the like.
pub(super) fn discovery(id: String, schema: &str, tag: String) -> Operation {
    Operation {
        method: "get",
        id,
        description: "get available resources".to_owned(),
        action: None,
        kind: None,
        tag,
        query: Vec::new(),
        body: None,
        answer: Shape::Schema(Definitions::meta(schema)),
        codes: &OK,
        watch: false,
    }
}

/// `AppsV1`, `CoreV1`, `RbacAuthorizationV1`.
fn camel(kind: &Kind) -> String {
    let group = match kind.group.strip_suffix(".k8s.io").unwrap_or(&kind.group) {
        "" => "core",
        group => group,
    };
    group.split(['.', '-']).map(capital).collect::<String>() + &capital(&kind.version)
}

/// `apps_v1`, `rbacAuthorization_v1`.
pub(super) fn tag(kind: &Kind) -> String {
    let name = camel(&Kind { version: String::new(), ..kind.clone() });
    format!("{}{}_{}", name[..1].to_lowercase(), &name[1..], kind.version)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

struct Writer<'a> {
    resource: &'a Resource,
    definitions: &'a Definitions,
    paths: &'a mut Paths,
}

impl Writer<'_> {
    fn write(&mut self) {
        let Resource { parent, name, subresource, namespaced, .. } = self.resource;
        let root = root(&parent.group, &parent.version);
        let all = if *namespaced {
            format!("{root}/namespaces/{{namespace}}/{name}")
        } else {
            format!("{root}/{name}")
        };
        let Some(sub) = subresource.as_deref() else {
            self.collection(&all);
            self.item(&format!("{all}/{{name}}"), "");
            if *namespaced && self.resource.has("list") {
                let list = self.list("ForAllNamespaces");
                self.put(&format!("{root}/{name}"), list);
            }
            return;
        };
        let path = format!("{all}/{{name}}/{sub}");
        match parameters::of_connection(sub) {
            Some(query) => {
                self.connect(&path, sub, "", query);
                if sub == "proxy" {
                    self.connect(&format!("{path}/{{path}}"), sub, "WithPath", query);
                }
            }
            None if sub == "log" => {
                let mut log = self.operation("get", "get", "read", "Log", "read log of the specified");
                (log.query, log.answer) = (parameters::of_log().to_vec(), Shape::Text);
                self.put(&path, log);
            }
            None => {
                if self.resource.has("create") {
                    let create = self.create(&capital(sub));
                    self.put(&path, create);
                }
                self.item(&path, &capital(sub));
            }
        }
    }

    fn collection(&mut self, path: &str) {
        if self.resource.has("list") {
            let list = self.list("");
            self.put(path, list);
        }
        if self.resource.has("create") {
            let create = self.create("");
            self.put(path, create);
        }
        if self.resource.has("deletecollection") {
            let mut delete =
                self.operation("delete", "deletecollection", "delete", "", "delete collection of");
            delete.id = self.id("delete", "Collection", "");
            delete.query = parameters::LIST.iter().filter(|row| !is_of_watch(row)).copied().collect();
            delete.query.extend(parameters::DELETE);
            delete.body = options();
            delete.answer = Shape::Schema(Definitions::meta("Status"));
            self.put(path, delete);
        }
    }

    fn list(&self, everywhere: &str) -> Operation {
        let mut list = self.operation("get", "list", "list", everywhere, "list or watch objects of kind");
        if !everywhere.is_empty() {
            // The name of the operation does not say twice where it looks.
            list.id = list.id.replacen("Namespaced", "", 1);
        }
        list.query = parameters::LIST.to_vec();
        let kind = Kind { kind: format!("{}List", self.resource.kind.kind), ..self.resource.kind.clone() };
        list.answer = self.shape(&kind);
        list.watch = self.resource.has("watch");
        list
    }

    fn create(&self, sub: &str) -> Operation {
        let mut create = self.operation("post", "post", "create", sub, "create");
        create.query = parameters::WRITE.to_vec();
        create.body = self.body(&ANY_TYPE);
        create.codes = &CREATED;
        create
    }

    /// Read, replace, patch and delete one object, or a subresource of it.
    fn item(&mut self, path: &str, sub: &str) {
        if self.resource.has("get") {
            let read = self.operation("get", "get", "read", sub, "read the specified");
            self.put(path, read);
        }
        if self.resource.has("update") {
            let mut replace = self.operation("put", "put", "replace", sub, "replace the specified");
            (replace.query, replace.body) = (parameters::WRITE.to_vec(), self.body(&ANY_TYPE));
            replace.codes = &CHANGED;
            self.put(path, replace);
        }
        if self.resource.has("patch") {
            let mut patch = self.operation("patch", "patch", "patch", sub, "partially update the specified");
            patch.query = [&parameters::WRITE[..], &[parameters::FORCE]].concat();
            patch.body =
                Some(Body { schema: Definitions::meta("Patch"), types: &PATCH_TYPES, required: true });
            patch.codes = &CHANGED;
            self.put(path, patch);
        }
        if self.resource.has("delete") {
            let mut delete = self.operation("delete", "delete", "delete", sub, "delete");
            (delete.query, delete.body) = (parameters::DELETE.to_vec(), options());
            (delete.answer, delete.codes) = (Shape::Schema(Definitions::meta("Status")), &DELETED);
            self.put(path, delete);
        }
    }

    fn connect(&mut self, path: &str, sub: &str, with: &str, query: &'static [Parameter]) {
        for (verb, method, name) in CONNECT {
            if self.resource.has(verb) {
                let mut connect = self.operation(
                    method,
                    "connect",
                    "connect",
                    "",
                    &format!("connect {} requests to {sub} of", name.to_uppercase()),
                );
                connect.id = self.id("connect", name, &format!("{}{with}", capital(sub)));
                (connect.query, connect.answer) = (query.to_vec(), Shape::Text);
                if !with.is_empty() {
                    connect.query.clear(); // the path says it
                }
                self.put(path, connect);
            }
        }
    }

    fn put(&mut self, path: &str, operation: Operation) {
        self.paths.entry(path.to_owned()).or_default().push(operation);
    }

    /// An operation that takes nothing and answers with the object.
    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        verb: &str,
        suffix: &str,
        what: &str,
    ) -> Operation {
        Operation {
            method,
            id: self.id(verb, "", suffix),
            description: format!("{what} {}", self.resource.parent.kind),
            action: Some(action),
            kind: Some(self.resource.kind.clone()),
            tag: tag(&self.resource.parent),
            query: Vec::new(),
            body: None,
            answer: self.shape(&self.resource.kind),
            codes: &OK,
            watch: false,
        }
    }

    /// `patchAppsV1NamespacedDeploymentScale`
    fn id(&self, verb: &str, middle: &str, suffix: &str) -> String {
        let place = if self.resource.namespaced { "Namespaced" } else { "" };
        let parent = &self.resource.parent;
        format!("{verb}{}{middle}{place}{}{suffix}", camel(parent), parent.kind)
    }

    fn shape(&self, kind: &Kind) -> Shape {
        self.definitions.name(kind).map_or(Shape::Text, |name| Shape::Schema(name.to_owned()))
    }

    fn body(&self, types: &'static [&'static str]) -> Option<Body> {
        let schema = self.definitions.name(&self.resource.kind)?.to_owned();
        Some(Body { schema, types, required: true })
    }
}

fn options() -> Option<Body> {
    Some(Body { schema: Definitions::meta("DeleteOptions"), types: &ANY_TYPE, required: false })
}

fn is_of_watch(parameter: &Parameter) -> bool {
    matches!(parameter.0, "allowWatchBookmarks" | "watch")
}
