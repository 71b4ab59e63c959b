//! Services by kubectl: their addresses and ports are the server's to give.

use crate::world::Kubectl;
use crate::{Result, expect, holds};

/// Exposes a Deployment, asks for an address that somebody has, and gives everything back.
pub(crate) fn exposes(kubectl: &Kubectl) -> Result {
    let port = ["--port=80", "--target-port=8080", "--type=NodePort"];
    let exposed = kubectl.run(&[&["expose", "deployment", "d", "--name=e"][..], &port].concat())?;
    holds("expose", &exposed, &["service/e exposed"])?;
    let of = |path: &str| kubectl.run(&["get", "service", "e", "-o", &format!("jsonpath={{{path}}}")]);
    let (address, number) = (of(".spec.clusterIP")?, of(".spec.ports[0].nodePort")?);
    let ports = format!("80:{number}/TCP");
    let services = kubectl.run(&["get", "services"])?;
    expect("get services", &services, "e", &["e", "NodePort", &address, "<none>", &ports])?;
    expect(
        "get ipaddresses",
        &kubectl.run(&["get", "ipaddresses"])?,
        &address,
        &[&address, "services/default/e"],
    )?;
    let again = kubectl.fail(&["expose", "deployment", "d", "--name=e", "--port=80"])?;
    holds("expose twice", &again, &["services \"e\" already exists"])?;

    let asked = format!("--clusterip={address}");
    let taken = kubectl.fail(&["create", "service", "clusterip", "f", "--tcp=80", &asked])?;
    holds("an address that is taken", &taken, &["provided IP is already allocated"])?;
    let port = format!("--node-port={number}");
    let taken = kubectl.fail(&["create", "service", "nodeport", "f", "--tcp=80", &port])?;
    holds("a port that is taken", &taken, &["provided port is already allocated"])?;
    kubectl.run(&["delete", "service", "e"])?;
    kubectl.run(&["create", "service", "clusterip", "f", "--tcp=80", &asked])?;
    holds("get ipaddresses", &kubectl.run(&["get", "ipaddresses"])?, &["services/default/f"])?;
    kubectl.run(&["delete", "service", "f"]).map(drop)
}
