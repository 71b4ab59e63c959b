//! Holds the map of ports against the Services: what nobody has is given back after a while, what somebody has and the
//! map does not know is put into it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::CancellationToken;
use serde_json::{Value, json};

use super::ports::{PortFault, PortRange, Ports};
use super::store;
use super::wish;
use crate::apiserver::cache::When;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(3 * 60);
/// So often a port is found that nobody has, and left alone: a Service that has it may be about to be written.
const PATIENCE: u8 = 2;

/// The ports that nobody seemed to have, and how much longer they are left alone.
pub type Leaks = BTreeMap<i64, u8>;

/// Something is wrong with a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The Service: an `ObjectReference`.
    pub about: Value,
    /// One word for programs.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// Looks now and then, until `closing`, and tells what is wrong.
pub async fn run(server: Arc<Server>, tell: impl Fn(Fault), closing: CancellationToken) {
    let mut leaks = Leaks::new();
    while closing.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match pass(&server, &mut leaks).await {
            Ok(faults) => faults.into_iter().for_each(&tell),
            Err(error) => {
                tracing::warn!(%error, "the ports of Services could not be looked at; this is tried again");
            }
        }
    }
}

/// Looks once, and says what is wrong.
///
/// # Errors
/// When what is stored cannot be read or written.
pub async fn pass(server: &Arc<Server>, leaks: &mut Leaks) -> Result<Vec<Fault>, Status> {
    let kind = server.kinds.core("services").map_err(|error| Status::unexpected(error.to_string()))?.kind;
    loop {
        // The map first: a Service that is listed after it has taken its ports before it.
        let (stored, revision) = store::ports(server).await?.unzip();
        let read = server.caches.values(&kind, None, When::Latest).await?;
        let services: Vec<Vec<i64>> = read.iter().map(|service| held(&service["spec"])).collect();
        let range = server.network.node_ports;
        let rebuilt = rebuild(range, stored.as_ref(), &services, leaks);
        if stored.as_ref() != Some(&rebuilt.ports)
            && !store::put_ports(server, &rebuilt.ports, revision).await?
        {
            continue;
        }
        *leaks = rebuilt.leaks;
        if !rebuilt.freed.is_empty() {
            tracing::warn!(ports = ?rebuilt.freed, "node ports that no Service has are given back");
        }
        let fault = |(index, reason, message): (usize, _, _)| {
            let about = about(&read[index]);
            tracing::warn!(namespace = %about["namespace"], service = %about["name"], "{message}");
            Fault { about, reason, message }
        };
        return Ok(rebuilt.faults.into_iter().map(fault).collect());
    }
}

/// The reference to a Service.
fn about(service: &Value) -> Value {
    let of = |field: &str| service["metadata"][field].clone();
    json!({"apiVersion": "v1", "kind": "Service", "namespace": of("namespace"), "name": of("name"),
        "uid": of("uid"), "resourceVersion": of("resourceVersion")})
}

/// The ports that a Service has; one that it has in several protocols is there once.
fn held(spec: &Value) -> Vec<i64> {
    let mut seen: Vec<(i64, &str)> = Vec::new();
    let mut held = Vec::new();
    let ports = spec["ports"].as_array().into_iter().flatten();
    let ports = ports.map(|port| (port["nodePort"].as_i64(), port["protocol"].as_str().unwrap_or("TCP")));
    let health = (wish::health_port(spec), "TCP");
    for (port, protocol) in ports.chain([health]) {
        let Some(port) = port.filter(|port| *port != 0) else { continue };
        if seen.contains(&(port, protocol)) || seen.iter().all(|(other, _)| *other != port) {
            held.push(port);
        }
        seen.push((port, protocol));
    }
    held
}

/// The map as it is to be.
#[derive(Debug)]
struct Rebuilt {
    ports: Ports,
    leaks: Leaks,
    /// What is wrong with ports of Services, by their place: in one word and in several.
    faults: Vec<(usize, &'static str, String)>,
    freed: Vec<i64>,
}

fn rebuild(range: PortRange, stored: Option<&Ports>, services: &[Vec<i64>], leaks: &Leaks) -> Rebuilt {
    let mut left = stored.cloned().unwrap_or_else(|| Ports::new(range));
    let mut rebuilt =
        Rebuilt { ports: Ports::new(range), leaks: Leaks::new(), faults: Vec::new(), freed: Vec::new() };
    let ports = services.iter().enumerate();
    for (index, port) in ports.flat_map(|(index, ports)| ports.iter().map(move |port| (index, *port))) {
        let (reason, fault) = match rebuilt.ports.take(port) {
            Ok(()) if left.has(port) || stored.is_none() => {
                left.free(port);
                continue;
            }
            Ok(()) => ("PortNotAllocated", "is not allocated; repairing".to_owned()),
            Err(PortFault::Taken) => (
                "PortAlreadyAllocated",
                "was assigned to multiple services; please recreate service".to_owned(),
            ),
            Err(_) => {
                ("PortOutOfRange", format!("is not within the port range {range}; please recreate service"))
            }
        };
        rebuilt.faults.push((index, reason, format!("Port {port} {fault}")));
    }
    for port in left.iter() {
        let patience = leaks.get(&port).copied().unwrap_or(PATIENCE);
        // One that is none of the range any more is not kept.
        if patience > 0 && rebuilt.ports.take(port).is_ok() {
            rebuilt.leaks.insert(port, patience - 1);
        } else {
            rebuilt.freed.push(port);
        }
    }
    rebuilt
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RANGE: PortRange = PortRange { first: 30000, last: 30099 };

    fn map(ports: &[i64]) -> Ports {
        let mut map = Ports::new(RANGE);
        ports.iter().for_each(|port| map.take(*port).unwrap());
        map
    }

    fn services(ports: &[&[i64]]) -> Vec<Vec<i64>> {
        ports.iter().map(|ports| ports.to_vec()).collect()
    }

    #[test]
    fn a_port_that_nobody_has_is_given_back_when_it_was_found_three_times() {
        let (mut stored, services) = (map(&[30001, 30002]), services(&[&[30001]]));
        let mut leaks = Leaks::new();
        for _ in 0..2 {
            let rebuilt = rebuild(RANGE, Some(&stored), &services, &leaks);
            assert_eq!((&rebuilt.ports, rebuilt.freed.len(), rebuilt.faults.len()), (&stored, 0, 0));
            (leaks, stored) = (rebuilt.leaks, rebuilt.ports);
        }
        let rebuilt = rebuild(RANGE, Some(&stored), &services, &leaks);
        assert_eq!((rebuilt.ports, rebuilt.freed), (map(&[30001]), vec![30002]));
    }

    #[test]
    fn a_port_that_was_given_back_meanwhile_is_left_alone_as_long_as_any_when_it_is_taken_again() {
        let leaks = Leaks::from([(30002, 0)]);
        let used = rebuild(RANGE, Some(&map(&[30002])), &services(&[&[30002]]), &leaks);
        assert!(used.leaks.is_empty());
        let gone = rebuild(RANGE, Some(&map(&[])), &[], &leaks);
        assert!(gone.leaks.is_empty());
    }

    #[test]
    fn what_services_have_is_put_into_the_map_and_what_is_wrong_is_told() {
        let rebuilt = rebuild(RANGE, Some(&map(&[])), &services(&[&[30001], &[30001], &[80]]), &Leaks::new());
        assert_eq!(rebuilt.ports, map(&[30001]));
        let told: Vec<(usize, &str, &str)> =
            rebuilt.faults.iter().map(|(index, reason, fault)| (*index, *reason, fault.as_str())).collect();
        assert_eq!(
            told,
            [
                (0, "PortNotAllocated", "Port 30001 is not allocated; repairing"),
                (
                    1,
                    "PortAlreadyAllocated",
                    "Port 30001 was assigned to multiple services; please recreate service"
                ),
                (
                    2,
                    "PortOutOfRange",
                    "Port 80 is not within the port range 30000-30099; please recreate service"
                ),
            ]
        );
        // The first map is made of the Services that there are.
        let first = rebuild(RANGE, None, &services(&[&[30005]]), &Leaks::new());
        assert_eq!((first.ports, first.faults.len()), (map(&[30005]), 0));
        // Another range than before: what it does not have is nobody's.
        let mut wider = Ports::new(PortRange { first: 29000, last: 30099 });
        [29000, 30007].into_iter().for_each(|port| wider.take(port).unwrap());
        let moved = rebuild(RANGE, Some(&wider), &[], &Leaks::new());
        assert_eq!((moved.ports, moved.freed), (map(&[30007]), vec![29000]));
    }

    #[test]
    fn a_port_in_several_protocols_is_one() {
        let port = |protocol: &str, port: i64| json!({"protocol": protocol, "nodePort": port});
        let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009,
            "ports": [port("TCP", 30001), port("UDP", 30001), port("UDP", 30001), port("TCP", 0)]});
        assert_eq!(held(&spec), [30001, 30001, 30009]);
    }
}
