//! Which addresses are given out, and what the files hold.

use serde_json::{Value, json};

use super::*;

fn set(value: Value) -> Result<RangeSet, Error> {
    RangeSet::new(serde_json::from_value(value).unwrap())
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn defaults_leave_out_the_network_the_gateway_and_the_broadcast_address() {
    let set = set(json!([{"subnet": "10.0.0.0/29"}])).unwrap();
    let mut taken = HashSet::new();
    while let Some((addr, range)) = set.pick(None, &taken) {
        assert_eq!(range.gateway.unwrap().to_string(), "10.0.0.1");
        taken.insert(addr);
    }
    let mut taken: Vec<_> = taken.into_iter().map(|addr| addr.to_string()).collect();
    taken.sort();
    assert_eq!(taken, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
}

#[test]
fn the_choice_goes_on_from_the_last_one_over_all_ranges_and_around() {
    let set = set(json!([
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.10"},
        {"subnet": "10.0.1.0/24", "rangeStart": "10.0.1.5", "rangeEnd": "10.0.1.5"},
    ]))
    .unwrap();
    let pick = |last: Option<&str>, taken: &[&str]| {
        let taken = taken.iter().map(|text| addr(text)).collect();
        set.pick(last.map(addr), &taken).map(|(addr, _)| addr.to_string())
    };
    assert_eq!(pick(None, &[]).unwrap(), "10.0.0.9");
    assert_eq!(pick(Some("10.0.0.10"), &[]).unwrap(), "10.0.1.5");
    assert_eq!(pick(Some("10.0.1.5"), &["10.0.0.9"]).unwrap(), "10.0.0.10");
    assert_eq!(pick(Some("192.168.0.1"), &[]).unwrap(), "10.0.0.9");
    assert_eq!(pick(None, &["10.0.0.9", "10.0.0.10", "10.0.1.5"]), None);
}

#[test]
fn a_wanted_address_must_be_free_and_no_gateway() {
    let set = set(json!([{"subnet": "fd00::/64"}])).unwrap();
    let taken = HashSet::from([addr("fd00::9")]);
    assert!(set.pick_wanted(addr("fd00::8"), &taken).is_ok());
    assert!(set.pick_wanted(addr("fd00::9"), &taken).unwrap_err().msg.contains("taken"));
    assert!(set.pick_wanted(addr("fd00::1"), &taken).unwrap_err().msg.contains("gateway"));
}

#[test]
fn ranges_that_cannot_be_meant_are_refused() {
    for (value, why) in [
        (json!([{"subnet": "10.0.0.1/24"}]), "host bits"),
        (json!([{"subnet": "10.0.0.0/31"}]), "too small"),
        (json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}]), "not in"),
        (json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}]), "after"),
        (json!([{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]), "families"),
        (json!([]), "empty"),
    ] {
        let error = set(value.clone()).unwrap_err();
        assert!(error.code == 7 && error.msg.contains(why), "{value}: {error}");
    }
    let both =
        [set(json!([{"subnet": "10.0.0.0/24"}])).unwrap(), set(json!([{"subnet": "10.0.0.0/16"}])).unwrap()];
    assert!(range::check_apart(&both).is_err());
}

#[test]
fn leases_are_kept_released_by_their_holder_only_and_torn_ones_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let lease = |id: &str| Lease { container_id: id.into(), ifname: "eth0".into() };
    let store = Store::open(dir.path(), "net").unwrap();
    store.reserve(addr("10.0.0.2"), &lease("a"), 0).unwrap();
    store.reserve(addr("10.0.0.3"), &lease("b"), 0).unwrap();
    assert_eq!(std::fs::read(dir.path().join("net/10.0.0.2")).unwrap(), b"a\r\neth0");
    assert_eq!(std::fs::read(dir.path().join("net/last_reserved_ip.0")).unwrap(), b"10.0.0.3");
    std::fs::write(dir.path().join("net/10.0.0.4"), "").unwrap();
    std::fs::write(dir.path().join("net/10.0.0.5"), "a").unwrap();
    assert_eq!(store.leases().unwrap().len(), 3);
    store.release(&lease("a")).unwrap();
    store.release(&lease("a")).unwrap();
    assert_eq!(store.leases().unwrap(), [(addr("10.0.0.3"), lease("b"))]);
    assert_eq!(store.last_reserved(0), Some(addr("10.0.0.3")));
}

#[test]
fn what_is_no_lease_is_taken_by_nobody_and_the_lock_is_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "net").unwrap();
    std::fs::write(dir.path().join("net/10.0.0.2"), [0xff, 0xfe, b'\r', b'\n', 0x80]).unwrap();
    std::fs::write(dir.path().join("net/10.0.0.3"), "a".repeat(1 << 20)).unwrap();
    std::fs::create_dir(dir.path().join("net/10.0.0.4")).unwrap();
    let leases = store.leases().unwrap();
    assert_eq!(leases.len(), 3);
    assert!(leases.iter().all(|(_, lease)| lease.container_id.len() <= 1024));
    store.release(&Lease { container_id: "a".into(), ifname: "eth0".into() }).unwrap();
    assert_eq!(store.leases().unwrap().len(), 3);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn files_with_any_content_are_read(
        lease in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        last in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "net").unwrap();
        std::fs::write(dir.path().join("net/10.0.0.2"), &lease).unwrap();
        std::fs::write(dir.path().join("net/last_reserved_ip.0"), last).unwrap();
        proptest::prop_assert!(store.leases().unwrap().len() <= 1);
        let _ = store.last_reserved(0);
        std::fs::write(dir.path().join("resolv.conf"), lease).unwrap();
        proptest::prop_assert!(read_resolv_conf(&dir.path().join("resolv.conf")).is_ok());
    }
}
