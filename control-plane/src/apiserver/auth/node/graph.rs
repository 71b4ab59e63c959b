//! Which objects lead to which node.
//!
//! What a pod refers to counts the pods of each node that refer to it, so that a question is one look-up however
//! many pods share an account. A volume leads where its claim leads, and so do the secrets that the node mounts it
//! with.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// The kinds of objects that can lead to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A ConfigMap that a pod refers to.
    ConfigMap,
    /// A Secret that a pod refers to, or a volume that it claims.
    Secret,
    /// The ServiceAccount that a pod runs as.
    ServiceAccount,
    /// A PersistentVolumeClaim.
    Claim,
    /// A ResourceClaim.
    ResourceClaim,
    /// A pod.
    Pod,
    /// A PersistentVolume.
    Volume,
    /// A VolumeAttachment.
    Attachment,
    /// A ResourceSlice.
    ResourceSlice,
}

/// Kind, namespace, name.
type Key = (Kind, String, String);

/// What leads to which node, kept up to date by objects as they come and go.
#[derive(Debug, Default)]
pub struct Graph {
    /// Pods, attachments and slices, with their node and what else leads there through them.
    direct: HashMap<Key, (String, BTreeSet<Key>)>,
    /// How many of `direct` lead from here to a node.
    counted: HashMap<Key, HashMap<String, usize>>,
    /// Claim and secrets of each volume.
    volumes: HashMap<String, (Key, BTreeSet<Key>)>,
    /// The volumes that a secret belongs to.
    volumes_of_secret: HashMap<Key, BTreeSet<String>>,
}

impl Graph {
    /// Takes in a Pod, VolumeAttachment, ResourceSlice or PersistentVolume that was added or changed. Others lead
    /// nowhere by themselves.
    pub fn insert(&mut self, kind: Kind, object: &Value) {
        let meta = &object["metadata"];
        let [namespace, name] = ["namespace", "name"].map(|key| text(&meta[key]));
        match kind {
            Kind::Pod => {
                let (node, refers) = (text(&object["spec"]["nodeName"]), references(object, namespace));
                self.lead(kind, namespace, name, node, refers);
            }
            Kind::Attachment | Kind::ResourceSlice => {
                self.lead(kind, "", name, text(&object["spec"]["nodeName"]), BTreeSet::new());
            }
            Kind::Volume => self.insert_volume(name, &object["spec"]),
            Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount | Kind::Claim | Kind::ResourceClaim => {}
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        match kind {
            Kind::Pod => self.lead(kind, namespace, name, "", BTreeSet::new()),
            Kind::Attachment | Kind::ResourceSlice => self.lead(kind, "", name, "", BTreeSet::new()),
            Kind::Volume => self.remove_volume(name),
            Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount | Kind::Claim | Kind::ResourceClaim => {}
        }
    }

    /// Does that object lead to the node?
    pub fn leads_to(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let counted = |key: &Key| self.counted.get(key).is_some_and(|nodes| nodes.contains_key(node));
        let through = |volume: &String| self.volumes.get(volume).is_some_and(|(claim, _)| counted(claim));
        match kind {
            Kind::Volume => through(&key.2),
            Kind::Secret => {
                counted(&key)
                    || self.volumes_of_secret.get(&key).is_some_and(|volumes| volumes.iter().any(through))
            }
            _ => counted(&key),
        }
    }

    /// Sets where an object leads, and what leads there through it; an empty node is none.
    fn lead(&mut self, kind: Kind, namespace: &str, name: &str, node: &str, mut refers: BTreeSet<Key>) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        refers.insert(key.clone());
        if self.direct.get(&key).is_some_and(|(of, known)| of == node && *known == refers) {
            return;
        }
        if let Some((node, refers)) = self.direct.remove(&key) {
            for from in refers {
                let Some(nodes) = self.counted.get_mut(&from) else { continue };
                if let Some(count) = nodes.get_mut(&node) {
                    *count -= 1;
                    if *count == 0 {
                        nodes.remove(&node);
                    }
                }
                if nodes.is_empty() {
                    self.counted.remove(&from);
                }
            }
        }
        if !node.is_empty() {
            for from in &refers {
                *self.counted.entry(from.clone()).or_default().entry(node.to_owned()).or_default() += 1;
            }
            self.direct.insert(key, (node.to_owned(), refers));
        }
    }

    fn insert_volume(&mut self, name: &str, spec: &Value) {
        self.remove_volume(name);
        let [namespace, claim] = ["namespace", "name"].map(|key| text(&spec["claimRef"][key]));
        if claim.is_empty() {
            return;
        }
        let secrets = volume_secrets(spec, namespace);
        for secret in &secrets {
            self.volumes_of_secret.entry(secret.clone()).or_default().insert(name.to_owned());
        }
        let claim = (Kind::Claim, namespace.to_owned(), claim.to_owned());
        self.volumes.insert(name.to_owned(), (claim, secrets));
    }

    fn remove_volume(&mut self, name: &str) {
        let Some((_, secrets)) = self.volumes.remove(name) else { return };
        for secret in secrets {
            let Some(volumes) = self.volumes_of_secret.get_mut(&secret) else { continue };
            volumes.remove(name);
            if volumes.is_empty() {
                self.volumes_of_secret.remove(&secret);
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a pod makes its node read, in its namespace.
fn references(pod: &Value, namespace: &str) -> BTreeSet<Key> {
    // A node makes mirror pods itself: were they to refer to anything, a node could read whatever it likes.
    match pod["metadata"]["annotations"].get("kubernetes.io/config.mirror") {
        Some(_) => BTreeSet::new(),
        None => named(pod, namespace),
    }
}

/// The kinds of the objects that a pod names.
pub fn kinds_named(pod: &Value) -> BTreeSet<Kind> {
    named(pod, "").into_iter().map(|(kind, ..)| kind).collect()
}

/// What a pod refers to, in its namespace.
fn named(pod: &Value, namespace: &str) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let mut add = |kind: Kind, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            found.insert((kind, namespace.to_owned(), name.to_owned()));
        }
    };
    let spec = &pod["spec"];
    add(Kind::ServiceAccount, &spec["serviceAccountName"]);
    items(&spec["imagePullSecrets"]).for_each(|one| add(Kind::Secret, &one["name"]));
    for container in
        ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|l| items(&spec[*l]))
    {
        for one in items(&container["envFrom"]) {
            add(Kind::ConfigMap, &one["configMapRef"]["name"]);
            add(Kind::Secret, &one["secretRef"]["name"]);
        }
        for from in items(&container["env"]).map(|one| &one["valueFrom"]) {
            add(Kind::ConfigMap, &from["configMapKeyRef"]["name"]);
            add(Kind::Secret, &from["secretKeyRef"]["name"]);
        }
    }
    for volume in items(&spec["volumes"]) {
        add(Kind::ConfigMap, &volume["configMap"]["name"]);
        add(Kind::Secret, &volume["secret"]["secretName"]);
        add(Kind::Secret, &volume["azureFile"]["secretName"]);
        for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            add(Kind::Secret, &volume[source]["secretRef"]["name"]);
        }
        add(Kind::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in items(&volume["projected"]["sources"]) {
            add(Kind::ConfigMap, &source["configMap"]["name"]);
            add(Kind::Secret, &source["secret"]["name"]);
        }
        add(Kind::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if volume["ephemeral"].is_object() {
            let claim = format!("{}-{}", text(&pod["metadata"]["name"]), text(&volume["name"]));
            add(Kind::Claim, &claim.into());
        }
    }
    for claim in items(&spec["resourceClaims"]) {
        add(Kind::ResourceClaim, &claim["resourceClaimName"]);
        let made =
            items(&pod["status"]["resourceClaimStatuses"]).find(|status| status["name"] == claim["name"]);
        made.into_iter().for_each(|status| add(Kind::ResourceClaim, &status["resourceClaimName"]));
    }
    add(Kind::ResourceClaim, &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"]);
    found
}

/// The secrets that a node needs to mount a volume; those without a namespace are in the claim's.
fn volume_secrets(spec: &Value, claim_namespace: &str) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let mut add = |namespace: &Value, name: &Value| {
        let namespace = Some(text(namespace)).filter(|own| !own.is_empty()).unwrap_or(claim_namespace);
        if !text(name).is_empty() {
            found.insert((Kind::Secret, namespace.to_owned(), text(name).to_owned()));
        }
    };
    add(&spec["azureFile"]["secretNamespace"], &spec["azureFile"]["secretName"]);
    let plain = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"];
    let csi = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];
    let plain = plain.iter().map(|source| &spec[*source]["secretRef"]);
    for secret in plain.chain(csi.iter().map(|which| &spec["csi"][*which])) {
        add(&secret["namespace"], &secret["name"]);
    }
    found
}
