//! Foreign bytes, and answers of the kernel that were cut or changed.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An answer as the kernel gives it: a link, then the acknowledgement.
fn answer() -> Vec<u8> {
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName("cni0".into()),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::Mtu(1500),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    let payloads = [
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)),
        NetlinkPayload::Done(netlink_packet_core::DoneMessage::default()),
    ];
    let mut bytes = Vec::new();
    for payload in payloads {
        let mut header = NetlinkHeader::default();
        header.sequence_number = 7;
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let start = bytes.len();
        bytes.resize((start + message.buffer_len()).next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }
    bytes
}

#[test]
fn an_answer_is_read_up_to_its_end_and_others_are_passed_over() {
    let mut answers = Vec::new();
    assert_eq!(take(7, &answer(), &mut answers), Ok(true));
    assert_eq!(answers.len(), 1);
    answers.clear();
    assert_eq!(take(8, &answer(), &mut answers), Ok(false));
    assert!(answers.is_empty());
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = take(0, &bytes, &mut Vec::new());
    }

    #[test]
    fn a_damaged_answer_never_panics_and_gives_no_more_than_it_has(
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        length in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = answer();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(length.index(bytes.len()) + 1);
        let mut answers = Vec::new();
        let _ = take(7, &bytes, &mut answers);
        prop_assert!(answers.len() <= bytes.len() / 16);
    }
}
