//! The rules of the caller's side, with plugins that are shell scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["net.d", "bin", "cache", "log"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn network(&self) -> Network {
        Network::new(self.config())
    }

    fn config(&self) -> Config {
        Config {
            conf_dir: self.path("net.d"),
            bin_dirs: vec![self.path("bin")],
            cache_dir: self.path("cache"),
            deadline: Duration::from_secs(20),
            owner: "test".into(),
        }
    }

    fn conf(&self, name: &str, text: &str) {
        fs::write(self.path("net.d").join(name), text).unwrap();
    }

    /// A plugin that keeps its stdin and environment in `log/VERB.NAME` and then runs `body`.
    fn plugin(&self, name: &str, body: &str) {
        let log = self.path("log");
        let path = self.path("bin").join(name);
        let text = format!(
            "#!/bin/sh\ncat >{log}/$CNI_COMMAND.{name}; echo $CNI_COMMAND {name} >>{log}/order; env >{log}/$CNI_COMMAND.{name}.env\n{body}\n",
            log = log.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn stdin(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path("log").join(name)).unwrap()).unwrap()
    }

    fn order(&self) -> String {
        fs::read_to_string(self.path("log/order")).unwrap().replace('\n', ", ")
    }

    fn two_plugins(&self) {
        self.conf(
            "10-net.conflist",
            r#"{"cniVersion":"1.1.0","name":"net","plugins":[
            {"type":"first"},{"type":"second","capabilities":{"portMappings":true}}]}"#,
        );
        self.plugin("first", r#"[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"interface":0,"address":"fd00::2/64"},{"interface":0,"address":"10.0.0.2/24"}]}'"#);
        self.plugin("second", r#"[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.1.0","ips":[{"address":"fd00::2/64"},{"address":"10.0.0.2/24"}]}'"#);
    }
}

fn attachment() -> Attachment {
    Attachment {
        sandbox_id: "abc".into(),
        // The test's own namespace: its loopback is up already, so bringing it up changes nothing.
        netns: "/proc/self/ns/net".into(),
        pod_name: "web".into(),
        pod_namespace: "default".into(),
        pod_uid: "u-1".into(),
        port_mappings: vec![PortMapping {
            host_port: 8080,
            container_port: 80,
            protocol: "tcp".into(),
            host_ip: String::new(),
        }],
        ..Attachment::default()
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn the_lexically_first_valid_file_is_the_network_and_a_later_one_is_noticed() {
    let world = World::new();
    let network = world.network();
    assert!(matches!(network.ready(), Err(NotReady::None(_))));
    world.conf("05-broken.conflist", "{");
    world.conf("notes.txt", "{}");
    assert!(network.ready().unwrap_err().to_string().contains("05-broken.conflist"));
    world.conf("10-a.conf", r#"{"cniVersion":"1.0.0","name":"a","type":"first"}"#);
    assert_eq!(
        network.ready().unwrap_err().to_string().split_once("wants").unwrap().1,
        " the network plugin first, which is not installed"
    );
    world.plugin("first", "");
    assert_eq!(network.ready(), Ok(()));
    assert_eq!(config::load(&world.path("net.d")).unwrap().list.name, "a");
}

#[test]
fn files_of_a_folder_named_as_the_network_join_its_list() {
    let world = World::new();
    world.conf("10-a.conflist", r#"{"name":"a","plugins":[{"type":"first"}]}"#);
    fs::create_dir(world.path("net.d/a")).unwrap();
    world.conf("a/10-second.conf", r#"{"type":"second"}"#);
    let list = config::load(&world.path("net.d")).unwrap().list;
    assert_eq!(
        list.plugins.iter().map(|plugin| plugin.kind.as_str()).collect::<Vec<_>>(),
        ["first", "second"]
    );
}

#[test]
fn an_attachment_is_made_in_order_kept_and_removed_in_reverse() {
    let world = World::new();
    world.two_plugins();
    let network = world.network();
    let ips = run(network.add(&attachment(), &|_| {})).unwrap().ips;
    assert_eq!(ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2", "fd00::2"]);
    assert_eq!(world.stdin("ADD.first").get("prevResult"), None);
    assert_eq!(world.stdin("ADD.first").get("runtimeConfig"), None);
    let second = world.stdin("ADD.second");
    assert_eq!(second["prevResult"]["ips"][0]["address"], "fd00::2/64");
    assert_eq!(second["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
    let env = fs::read_to_string(world.path("log/ADD.first.env")).unwrap();
    assert!(env.contains("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1"));

    let file = world.path("cache/results/net-abc-eth0");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    // The DEL goes by what was cached, whatever the configuration says by now.
    world.conf("10-net.conflist", "{");
    run(network.check(&attachment())).unwrap();
    run(network.del(&attachment(), &|_| {})).unwrap();
    assert_eq!(world.stdin("DEL.first")["prevResult"]["ips"][1]["address"], "10.0.0.2/24");
    assert_eq!(world.order(), "ADD first, ADD second, CHECK first, CHECK second, DEL second, DEL first, ");
    assert!(!file.exists());
    run(network.del(&attachment(), &|_| {})).unwrap();
}

#[test]
fn a_failed_attachment_is_undone_and_said_by_plugin_verb_code_and_message() {
    let world = World::new();
    world.two_plugins();
    world.plugin(
        "second",
        r#"[ $CNI_COMMAND != ADD ] || { echo busy >&2; echo '{"code":11,"msg":"later"}'; exit 1; }"#,
    );
    let error = run(world.network().add(&attachment(), &|_| {})).unwrap_err();
    assert_eq!(error.to_string(), "second ADD: code 11: later; its stderr: busy");
    assert_eq!(world.order(), "ADD first, ADD second, DEL second, DEL first, ");
}

#[test]
fn a_del_asks_every_plugin_and_keeps_the_cache_until_all_succeed() {
    let world = World::new();
    world.two_plugins();
    let network = world.network();
    run(network.add(&attachment(), &|_| {})).unwrap();
    world.plugin("second", r#"echo '{"code":5,"msg":"no"}'; exit 1"#);
    assert!(run(network.del(&attachment(), &|_| {})).is_err());
    assert!(world.order().ends_with("DEL second, DEL first, "));
    assert!(world.path("cache/results/net-abc-eth0").exists());
    world.plugin("second", "");
    run(network.del(&attachment(), &|_| {})).unwrap();
}

#[test]
fn a_plugin_that_hangs_is_killed_and_its_stderr_is_told() {
    let world = World::new();
    world.conf("a.conf", r#"{"name":"a","type":"slow"}"#);
    world.plugin("slow", "[ $CNI_COMMAND != ADD ] || { echo waiting for the moon >&2; exec sleep 1000; }");
    let network = Network::new(Config { deadline: Duration::from_millis(500), ..world.config() });
    let error = run(network.add(&attachment(), &|_| {})).unwrap_err().to_string();
    assert_eq!(error, "slow ADD: killed after 0.5 seconds; its stderr: waiting for the moon");
}

#[test]
fn gc_removes_what_is_ours_and_not_valid_and_names_the_rest() {
    let world = World::new();
    world.two_plugins();
    let network = world.network();
    let other = Network::new(Config { owner: "other".into(), ..world.config() });
    for (network, id) in [(&network, "stale"), (&network, "valid"), (&other, "foreign")] {
        run(network.add(&Attachment { sandbox_id: id.into(), ..attachment() }, &|_| {})).unwrap();
    }
    run(network.gc(&BTreeSet::from(["valid".to_owned()]))).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(world.path("cache/results")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["net-foreign-eth0", "net-valid-eth0"]);
    assert_eq!(
        world.stdin("GC.first")["cni.dev/valid-attachments"],
        json!([{"containerID": "foreign", "ifname": "eth0"}, {"containerID": "valid", "ifname": "eth0"}])
    );
    assert_eq!(world.stdin("DEL.second")["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
}

#[test]
fn an_id_that_cni_does_not_allow_is_refused_before_anything_runs() {
    let world = World::new();
    world.two_plugins();
    assert!(matches!(
        run(world.network().add(&Attachment { sandbox_id: "a b".into(), ..attachment() }, &|_| {})),
        Err(Error::Name(_))
    ));
    assert!(!world.path("log/order").exists());
}
