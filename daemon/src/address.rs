//! The machine's own addresses.

use std::net::{IpAddr, UdpSocket};

/// The addresses from which the default routes would be used, one of each family, or that of the loopback.
///
/// A connected UDP socket sends nothing (udp(7)).
pub fn own_addresses() -> Vec<IpAddr> {
    let towards = |local: &str, remote: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(local).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    // Addresses of the documentation ranges: never reached, but routed.
    let found = [towards("0.0.0.0:0", "192.0.2.1:9"), towards("[::]:0", "[2001:db8::1]:9")];
    let found: Vec<IpAddr> = found.into_iter().flatten().collect();
    if found.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { found }
}
