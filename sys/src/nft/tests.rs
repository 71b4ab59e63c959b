//! The bytes of messages, and foreign bytes.

use super::attributes::{Attributes, find, find_number, find_text, walk};
use super::expr::{Part, join, layout};
use super::*;

#[test]
fn attributes_are_found_again() {
    let list =
        Attributes::default().text(1, "abc").number(2, 7).nest(3, Attributes::default().bytes(1, &[1, 2, 3]));
    assert_eq!(list.0.len() % 4, 0);
    assert_eq!(find_text(&list.0, 1).unwrap(), "abc");
    assert_eq!(find_number(&list.0, 2), Some(7));
    assert_eq!(find(find(&list.0, 3).unwrap(), 1), Some(&[1, 2, 3][..]));
    assert_eq!(find(&list.0, 4), None);
}

#[test]
fn a_concatenation_pads_each_part_and_a_single_part_is_bare() {
    assert_eq!(layout(&[Part::Port]), (13, 2));
    assert_eq!(layout(&[Part::Protocol, Part::Port]), (12 << 6 | 13, 8));
    assert_eq!(join(&[&[6], &[0, 80]]), [6, 0, 0, 0, 0, 80, 0, 0]);
    assert_eq!(join(&[&[0, 80]]), [0, 80]);
}

#[test]
fn a_comment_is_found_among_other_user_data() {
    assert_eq!(read::comment(&[5, 1, 9, 0, 3, b'a', b'b', 0]), "ab");
    assert_eq!(read::comment(&[0, 9, b'a']), "");
    assert_eq!(read::comment(&[]), "");
}

#[test]
fn a_batch_is_framed_and_only_its_last_change_asks_for_an_answer() {
    let mut batch = Batch::new();
    batch.add_table(Family::Inet, "t");
    batch.delete_table(Family::Inet, "t");
    let bytes = batch.encode(10);
    let found = messages(&bytes);
    assert_eq!(
        found.iter().map(|(sequence, kind, _)| (*sequence, *kind)).collect::<Vec<_>>(),
        [(10, 16), (11, 0x0a00), (12, 0x0a02), (13, 17)]
    );
    assert_eq!(found[0].2, [0, 0, 0, 10]);
    let flags: Vec<_> =
        offsets(&bytes).into_iter().map(|at| u16::from_ne_bytes([bytes[at + 6], bytes[at + 7]])).collect();
    assert_eq!(
        flags.iter().map(|flags| flags & NLM_F_ACK != 0).collect::<Vec<_>>(),
        [false, false, true, false]
    );
}

fn offsets(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        found.push(at);
        at += u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        at = at.next_multiple_of(4);
    }
    found
}

proptest::proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = messages(&bytes);
        let _ = walk(&bytes).count();
        let _ = read::comment(&bytes);
        let _ = error_code(&bytes);
    }

    #[test]
    fn a_damaged_batch_is_walked_without_panic(
        changes in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..6),
    ) {
        let mut batch = Batch::new();
        batch.add_table(Family::Inet, "t");
        let key = Key::range(&[&[10, 0, 0, 0]], &[&[10, 0, 0, 255]]);
        batch.add_element(Family::Inet, "t", "s", &key, &[1, 2, 3, 4], "net abc eth0");
        let mut bytes = batch.encode(1);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        for (_, _, body) in messages(&bytes) {
            let answer = Answer { family: 1, body: body.get(4..).unwrap_or_default().to_vec() };
            proptest::prop_assert!(read::elements(&answer).len() <= bytes.len() / 4);
            let _ = (read::chain_info(&answer), read::rule_info(&answer), error_code(body));
        }
    }
}
