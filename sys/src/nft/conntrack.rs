//! Forgets connections, so that the next packet of a flow meets the present rules.

use std::net::IpAddr;

use super::Nft;
use super::attributes::{Attributes, find, walk};
use crate::error::Error;

const SUBSYSTEM: u8 = 1;
const GET: u8 = 1;
const DELETE: u8 = 2;
const UDP: u8 = 17;
const TUPLE_ORIG: u16 = 1;

/// Forgets the UDP flows to a port of this host; all of them, or those to one address. Returns how many there were.
///
/// A UDP flow lives on while its packets come, so without this a client that keeps sending would never reach a pod
/// that took the port over. The kernel filters deletions by port only since 6.10, so this lists and deletes one by one.
pub fn forget_udp(nft: &mut Nft, address: Option<IpAddr>, port: u16) -> Result<usize, Error> {
    let fail = |errno| Error::new("forgetting UDP flows to port", port, errno);
    let mut count = 0;
    for (family, kind) in [(2, 2), (10, 4)] {
        for answer in nft.query(SUBSYSTEM, GET, family, &[], true).map_err(fail)? {
            let Some(tuple) = find(&answer.body, TUPLE_ORIG) else { continue };
            let proto = find(tuple, 2).unwrap_or_default();
            let matches_port = find(proto, 1) == Some(&[UDP]) && find(proto, 3) == Some(&port.to_be_bytes());
            let to = walk(find(tuple, 1).unwrap_or_default())
                .find(|(found, _)| *found == kind)
                .map(|(_, value)| value);
            let matches_address = match address {
                None => true,
                Some(IpAddr::V4(addr)) => to == Some(&addr.octets()),
                Some(IpAddr::V6(addr)) => to == Some(&addr.octets()),
            };
            if !matches_port || !matches_address {
                continue;
            }
            let body = Attributes::default().bytes(TUPLE_ORIG | 0x8000, tuple);
            match nft.query(SUBSYSTEM, DELETE, family, &body.0, false) {
                Ok(_) => count += 1,
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
    Ok(count)
}
