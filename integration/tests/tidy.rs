//! Rules about the tree itself: who imports whom, where `unsafe` may stand, what the map names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

const COMPONENTS: [&str; 5] = ["runtime", "cri-shim", "cni-plugins", "kubelet", "control-plane"];
/// These stay small and start fast: no executor, no gRPC, no HTTP, no typed Kubernetes.
const SYNCHRONOUS: [&str; 5] = ["runtime", "cni-plugins", "sys", "api-cni", "api-monitor"];
const FORBIDDEN_THERE: [&str; 5] = ["tokio", "tonic", "hyper", "k8s-openapi", "rtnetlink"];
const LONGEST_FILE: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).other_options(vec!["--offline".into()]).exec().unwrap()
}

/// The workspace's own crates that a crate links.
fn own_imports<'a>(metadata: &'a Metadata, package: &'a Package) -> BTreeSet<&'a str> {
    let own: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    // A bench of `integration` may measure what no binary shows; a component's own tests may not import another one.
    let links = package
        .dependencies
        .iter()
        .filter(|d| d.kind != DependencyKind::Development || package.name.as_str() != "integration");
    links.map(|d| d.name.as_str()).filter(|name| own.contains(name)).collect()
}

fn may_import(importer: &str, imported: &str) -> bool {
    let leaf = imported.starts_with("api-") || imported == "sys";
    match importer {
        "runtime" | "cni-plugins" => leaf,
        "cri-shim" | "kubelet" | "control-plane" => leaf || imported == "daemon",
        "node" => leaf || imported == "daemon" || COMPONENTS.contains(&imported),
        "integration" => leaf,
        _ => false,
    }
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        for imported in own_imports(&metadata, package) {
            if !may_import(&package.name, imported) {
                wrong.push(format!("{} imports {imported}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_small_binaries_link_no_executor() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    for name in SYNCHRONOUS {
        let package = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == name).unwrap();
        let mut seen = BTreeSet::new();
        let mut queue = vec![package.id.clone()];
        while let Some(id) = queue.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let node = resolve.nodes.iter().find(|node| node.id == id).unwrap();
            let normal =
                node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            queue.extend(normal.map(|dep| dep.pkg.clone()));
        }
        for id in &seen {
            let linked = metadata[id].name.as_str();
            assert!(!FORBIDDEN_THERE.contains(&linked), "{name} links {linked}");
        }
    }
}

#[test]
fn only_api_k8s_names_k8s_openapi() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let names_it = package.dependencies.iter().any(|d| d.name == "k8s-openapi");
        assert_eq!(names_it, package.name.as_str() == "api-k8s", "{}", package.name);
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.manifest_path);
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap().strip_prefix(root()).unwrap().to_string();
        assert!(map.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not name {folder}/");
    }
}

/// All Rust files that belong to a crate.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for package in metadata().workspace_packages() {
        let mut folders = vec![package.manifest_path.parent().unwrap().to_path_buf().into_std_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let nested_crate = path.is_dir() && path.join("Cargo.toml").exists();
                if path.is_dir() && !nested_crate {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let name = path.strip_prefix(root()).unwrap().display().to_string();
                    files.push((name, fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    files
}

#[test]
fn unsafe_stands_only_where_the_architecture_allows() {
    for (name, text) in sources() {
        let allowed = name.starts_with("sys/") || name == "runtime/src/fork.rs";
        let found = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(allowed || !found || name.ends_with("tidy.rs"), "{name} holds unsafe code");
    }
}

/// Decisions take time and randomness as arguments and return effects, so that tests need no machine.
#[test]
fn the_pure_core_touches_nothing() {
    const IMPURE: [&str; 9] = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os::unix::net",
        "std::process",
        "std::thread",
        "tokio::",
        "Instant::now",
        "SystemTime::now",
    ];
    let pure = |name: &str| {
        (name.contains("/src/core")
            || name.contains("/src/plan")
            || name.starts_with("kubelet/src/translate"))
            && !["/tests.rs", "/observe.rs"].iter().any(|tests| name.ends_with(tests))
    };
    let mut wrong = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| pure(name)) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        wrong.extend(IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("{name}: {word}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_source_file_says_what_it_is() {
    // `foo/tests.rs` belongs to the module that it tests.
    let speaks = |name: &str, text: &str| text.trim_start().starts_with("//!") || name.ends_with("/tests.rs");
    let silent: Vec<_> =
        sources().into_iter().filter(|(name, text)| !speaks(name, text)).map(|file| file.0).collect();
    assert!(silent.is_empty(), "without a //! header: {silent:#?}");
}

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<_> =
        sources().into_iter().map(|(n, t)| (n, t.lines().count())).filter(|f| f.1 > LONGEST_FILE).collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines: {long:#?}");
}

#[test]
fn no_module_is_a_junk_drawer() {
    for (name, _) in sources() {
        let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
        let folder =
            Path::new(&name).parent().and_then(Path::file_name).and_then(|f| f.to_str()).unwrap_or_default();
        for junk in ["utils", "util", "common", "helpers", "misc"] {
            assert!(stem != junk && folder != junk, "{name}");
        }
    }
}

/// `cargo deny` reads the same list; this needs no further tool and so runs everywhere.
#[test]
fn every_linked_crate_has_an_allowed_licence() {
    let policy = fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = policy.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let mut wrong = Vec::new();
    for package in metadata().packages {
        let licence = package.license.clone().unwrap_or_default().replace('/', " OR ");
        // One alternative suffices; all parts of a conjunction must be allowed.
        let exception =
            |part: &str| policy.contains(&format!("crate = \"{}\", allow = [\"{part}\"]", package.name));
        let fits = licence.replace(['(', ')'], " ").split(" OR ").any(|alternative| {
            alternative.split(" AND ").all(|part| allowed.contains(part.trim()) || exception(part.trim()))
        });
        if !fits {
            wrong.push(format!("{} {}: {licence:?}", package.name, package.version));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
