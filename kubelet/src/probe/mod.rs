//! Asking a container how it is: over HTTP, by a TCP connection, or by running a program inside.

mod http;

use std::net::IpAddr;
use std::time::Duration;

use api_cri::v1::ExecSyncRequest;
use api_k8s::IntOrString;
use api_k8s::v1;
use tokio::net::TcpStream;

use crate::core::Outcome;
use crate::cri::Client;

pub(crate) use http::get;

/// How much of an answer is shown to people, in bytes.
const SHOWN: usize = 1024;

/// What a probe or a hook asks of.
pub(crate) struct Target<'a> {
    pub(crate) container: &'a v1::Container,
    pub(crate) id: &'a str,
    /// The pod's address, the node's for a pod on the host's network.
    pub(crate) ip: Option<IpAddr>,
}

impl Target<'_> {
    /// A port by number, or by the name that the container gives it.
    pub(crate) fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let named = self.container.ports.iter().flatten();
                let mut named =
                    named.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port);
                named.next_back().or_else(|| name.parse().ok())
            }
        };
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| format!("the container has no port {port:?}"))
    }

    /// The host that a handler names, or the pod.
    pub(crate) fn host(&self, named: Option<&String>) -> Result<String, String> {
        match (named.filter(|host| !host.is_empty()), self.ip) {
            (Some(host), _) => Ok(host.clone()),
            (None, Some(ip)) => Ok(ip.to_string()),
            (None, None) => Err("the pod has no address".into()),
        }
    }
}

/// Asks once. What takes longer than the timeout has failed.
pub(crate) async fn ask(client: &Client, probe: &v1::Probe, target: &Target<'_>) -> Outcome {
    let seconds = probe.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(1).max(1);
    let timeout = Duration::from_secs(seconds);
    if let Some(exec) = &probe.exec {
        return run(client, target.id, exec.command.clone().unwrap_or_default(), timeout).await;
    }
    let asked = async {
        if let Some(get) = &probe.http_get {
            return http::ask(get, target).await;
        }
        let Some(tcp) = &probe.tcp_socket else {
            return Err(Outcome::Unknown("the probe has no handler".into()));
        };
        let port = target.port(&tcp.port).map_err(Outcome::Unknown)?;
        let host = target.host(tcp.host.as_ref()).map_err(Outcome::Unknown)?;
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        stream.map_err(|error| Outcome::Failure(format!("dial tcp {host}:{port}: {error}")))?;
        Ok(())
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(Ok(())) => Outcome::Success,
        Ok(Err(outcome)) => outcome,
        Err(_) => Outcome::Failure(format!("no answer within {seconds} s")),
    }
}

/// Runs a program in the container; exit code 0 is success.
async fn run(client: &Client, id: &str, command: Vec<String>, timeout: Duration) -> Outcome {
    let request = ExecSyncRequest {
        container_id: id.into(),
        cmd: command,
        timeout: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
    };
    match client.runtime.clone().exec_sync(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let text = if answer.stderr.is_empty() { answer.stdout } else { answer.stderr };
            match answer.exit_code {
                0 => Outcome::Success,
                code => Outcome::Failure(format!("exit code {code}: {}", shown(&text))),
            }
        }
        Err(status) if status.code() == tonic::Code::DeadlineExceeded => {
            Outcome::Failure(format!("no answer within {} s", timeout.as_secs()))
        }
        Err(status) => Outcome::Unknown(status.message().into()),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).trim().into()
}
