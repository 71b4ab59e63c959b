//! A host for the tests: pods that are bare network namespaces, an outside that knows no pod's address, and servers that
//! tell a client which address they saw it under.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use integration::runner::{TestError, check, fail};
use integration::world;
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

pub(crate) type Result<T = ()> = std::result::Result<T, TestError>;

/// How long a packet may take; only what is broken takes longer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long to listen for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Where Debian's plugins are.
pub(crate) const PEERS: &str = "/usr/lib/cni";
/// The host's address towards the outside, and the outside's.
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const OUTSIDE: &str = "192.0.2.2";

/// A command that must succeed; returns its stdout.
pub(crate) fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap_or_default()).args(words).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    check(output.status.success(), || format!("{line}: {}: {}", output.status, text(&output.stderr)))?;
    Ok(text(&output.stdout))
}

/// A network namespace, by its name below /run/netns; `None` is the host's.
pub(crate) type Ns<'a> = Option<&'a str>;

pub(crate) fn netns_path(name: &str) -> String {
    format!("/run/netns/{name}")
}

/// Runs a function in a namespace, on a thread that ends.
pub(crate) fn inside<T: Send + 'static>(
    ns: Ns<'_>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let file = ns.map(|name| File::open(netns_path(name))).transpose()?;
    let thread = std::thread::spawn(move || {
        if let Some(file) = file {
            setns(file, CloneFlags::CLONE_NEWNET)?;
        }
        work()
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
}

/// Serves TCP and UDP on a port in a namespace until the test's process ends.
pub(crate) fn serve(ns: &str, port: u16) -> Result {
    let (tcp, udp) =
        inside(Some(ns), move || Ok((TcpListener::bind(("::", port))?, UdpSocket::bind(("::", port))?)))?;
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            answer(stream);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(seen(peer).as_bytes(), peer);
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) {
    if let Ok(peer) = stream.peer_addr() {
        let _ = stream.write_all(seen(peer).as_bytes());
    }
}

fn seen(peer: SocketAddr) -> String {
    peer.ip().to_canonical().to_string()
}

/// Connects from a namespace and returns the address that the server saw.
pub(crate) fn ask(from: Ns<'_>, to: &str) -> Result<String> {
    tcp(from, to, DEADLINE).map_err(|error| TestError::Failed(format!("{from:?} to {to}: {error}")))
}

fn tcp(from: Ns<'_>, to: &str, deadline: Duration) -> io::Result<String> {
    let to: SocketAddr = to.parse().map_err(io::Error::other)?;
    inside(from, move || {
        let mut stream = TcpStream::connect_timeout(&to, deadline)?;
        stream.set_read_timeout(Some(deadline))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// Checks that nobody answers.
pub(crate) fn silent(from: Ns<'_>, to: &str) -> Result {
    match tcp(from, to, SILENCE) {
        Ok(text) => fail(format!("{from:?} to {to} was answered: {text}")),
        Err(_) => Ok(()),
    }
}

/// A UDP socket in a namespace, whose flow lives on between questions.
pub(crate) fn udp_client(from: Ns<'_>, to: &str) -> Result<UdpSocket> {
    let to: SocketAddr = to.parse().map_err(io::Error::other)?;
    Ok(inside(from, move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(socket)
    })?)
}

/// Asks by UDP; none when nobody answers.
pub(crate) fn ask_udp(socket: &UdpSocket) -> Option<String> {
    socket.send(b"who?").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The host and what the tests configure.
pub(crate) struct Host {
    pub data: PathBuf,
}

/// What a plugin did.
pub(crate) struct Answer {
    pub ok: bool,
    pub signal: bool,
    pub json: Value,
    pub stderr: String,
}

impl Host {
    /// A host with one way to the outside, which has no route back to pods.
    pub(crate) fn new() -> Result<Self> {
        for line in [
            "ip netns add outside",
            "ip link add wan type veth peer name eth0 netns outside",
            "ip addr add 192.0.2.1/24 dev wan",
            "ip -6 addr add 2001:db8::1/64 dev wan nodad",
            "ip link set wan up",
            "ip -n outside addr add 192.0.2.2/24 dev eth0",
            "ip -n outside -6 addr add 2001:db8::2/64 dev eth0 nodad",
            "ip -n outside link set eth0 up",
            "ip -n outside link set lo up",
        ] {
            run(line)?;
        }
        let data = PathBuf::from("/run/leases");
        fs::create_dir(&data)?;
        Ok(Self { data })
    }

    /// A bridge with everything on.
    pub(crate) fn bridge(&self) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "cni0",
            "isDefaultGateway": true, "ipMasq": true,
            "ipam": { "type": "host-local", "dataDir": self.data,
                "ranges": [[{ "subnet": "10.77.0.0/24" }], [{ "subnet": "fd77::/64" }]] },
        })
    }

    /// A pod: a namespace with loopback up.
    pub(crate) fn pod(&self, id: &str) -> Result {
        run(&format!("ip netns add {id}"))?;
        run(&format!("ip -n {id} link set lo up")).map(drop)
    }

    /// Adds a pod to a network that must take it.
    pub(crate) fn add(&self, conf: &Value, id: &str) -> Result<Value> {
        let answer = call(conf, "ADD", id, &[])?;
        check(answer.ok, || format!("ADD {id}: {} {}", answer.json, answer.stderr))?;
        Ok(answer.json)
    }

    /// Makes a pod and adds it.
    pub(crate) fn new_pod(&self, conf: &Value, id: &str) -> Result<Value> {
        self.pod(id)?;
        self.add(conf, id)
    }

    /// Removes a pod from a network, which must work.
    pub(crate) fn del(&self, conf: &Value, id: &str) -> Result {
        let answer = call(conf, "DEL", id, &[])?;
        check(answer.ok, || format!("DEL {id}: {} {}", answer.json, answer.stderr))
    }

    /// Everything that a pod could leave behind, by kind. What stays on purpose is left out: the store's lock and its memory.
    pub(crate) fn snapshot(&self) -> Result<BTreeMap<&'static str, String>> {
        let mut found = BTreeMap::new();
        let links: Vec<Value> = serde_json::from_str(&run("ip -j link")?).map_err(io::Error::other)?;
        let names = links.iter().filter_map(|link| link["ifname"].as_str()).collect::<Vec<_>>().join("\n");
        found.insert("links", names);
        // A bridge without ports has no carrier and its routes say so; which address it has does not change.
        let text = |text: String| {
            text.replace(" linkdown", "")
                .lines()
                .filter(|line| !line.contains("fe80::"))
                .map(str::trim)
                .collect::<Vec<_>>()
                .join("\n")
        };
        found.insert("routes", text(run("ip route show table all")?));
        found.insert("rules", text(run("nft list ruleset")?));
        let mut leases: Vec<_> = files(&self.data)?;
        leases.retain(|path| !path.contains("last_reserved_ip") && !path.ends_with("/lock"));
        found.insert("leases", leases.join("\n"));
        Ok(found)
    }

    /// Checks that the host is as it was.
    pub(crate) fn same(&self, before: &BTreeMap<&'static str, String>, when: &str) -> Result {
        let after = self.snapshot()?;
        for (kind, text) in before {
            check(after.get(kind) == Some(text), || {
                format!("{when}: the {kind} differ\nbefore:\n{text}\nafter:\n{}", after[kind])
            })?;
        }
        Ok(())
    }
}

fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path.display().to_string()) }
    }
    found.sort();
    Ok(found)
}

/// portmap after that result.
pub(crate) fn portmap(result: &Value, mappings: Value) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net", "type": "portmap", "prevResult": result,
        "runtimeConfig": { "portMappings": mappings },
    })
}

/// The configuration of a later verb: with the ADD's result.
pub(crate) fn with_result(conf: &Value, result: &Value) -> Value {
    let mut conf = conf.clone();
    conf["prevResult"] = result.clone();
    conf
}

/// The n-th address of a result, without its prefix length.
pub(crate) fn addr(result: &Value, place: usize) -> String {
    let text = result["ips"][place]["address"].as_str().unwrap_or_default();
    text.split('/').next().unwrap_or_default().to_owned()
}

/// Asks our plugin of the configuration's type.
pub(crate) fn call(conf: &Value, verb: &str, id: &str, env: &[(&str, &str)]) -> Result<Answer> {
    let kind = conf["type"].as_str().unwrap_or_default();
    let mut command = Command::new(world::bin("orlop-cni"));
    command.arg(kind);
    call_program(command, conf, verb, id, env)
}

/// Asks Debian's plugin of that name.
pub(crate) fn call_peer(name: &str, conf: &Value, verb: &str, id: &str) -> Result<Answer> {
    call_program(Command::new(Path::new(PEERS).join(name)), conf, verb, id, &[])
}

fn call_program(
    mut command: Command,
    conf: &Value,
    verb: &str,
    id: &str,
    env: &[(&str, &str)],
) -> Result<Answer> {
    let netns = netns_path(id);
    let netns = if Path::new(&netns).exists() { netns } else { String::new() };
    let mut child = command
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", id)
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/run/plugins:/usr/lib/cni")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(conf.to_string().as_bytes())?;
    }
    Ok(read(&child.wait_with_output()?))
}

fn read(output: &Output) -> Answer {
    Answer {
        ok: output.status.success(),
        signal: output.status.code().is_none(),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
