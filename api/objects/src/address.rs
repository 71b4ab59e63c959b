//! Addresses and blocks of addresses, in the API's wording.
//!
//! Fields that are older than the strict rules take an address in another form than its canonical one (RFC 5952), newer
//! ones do not. None takes leading zeros or an IPv4 address mapped into IPv6.

use std::net::IpAddr;

use crate::{FieldError, Path};

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `10.9.8.7`
    V4,
    /// `2001:db8::1`
    V6,
}

impl Family {
    /// That of an address or a block of them; none where it is neither.
    pub fn of(text: &str) -> Option<Self> {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        Some(match sloppy(address)? {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        })
    }

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Refuses what is no address.
pub fn ip(errors: &mut Vec<FieldError>, path: &Path, text: &str) {
    errors.extend(ip_faults(text).into_iter().map(|why| FieldError::invalid(path, text, &why)));
}

/// Refuses what is no address in its canonical form.
pub fn canonical_ip(errors: &mut Vec<FieldError>, path: &Path, text: &str) {
    errors.extend(canonical_ip_faults(text).into_iter().map(|why| FieldError::invalid(path, text, &why)));
}

/// Refuses what is no block of addresses.
pub fn cidr(errors: &mut Vec<FieldError>, path: &Path, text: &str) {
    errors.extend(cidr_faults(text).into_iter().map(|why| FieldError::invalid(path, text, &why)));
}

/// Refuses what is no block of addresses in its canonical form.
pub fn canonical_cidr(errors: &mut Vec<FieldError>, path: &Path, text: &str) {
    let mut faults = cidr_faults(text);
    if let Some((address, length)) = parse_cidr(text).filter(|_| faults.is_empty()) {
        let canonical = format!("{address}/{length}");
        if canonical != text {
            faults.push(format!("must be in canonical form ({canonical:?})"));
        }
    }
    errors.extend(faults.into_iter().map(|why| FieldError::invalid(path, text, &why)));
}

/// Refuses an address that means no other machine.
pub fn special_ip(errors: &mut Vec<FieldError>, path: &Path, text: &str) {
    let Some(address) = sloppy(text) else {
        errors.push(FieldError::invalid(path, text, "must be a valid IP address"));
        return;
    };
    // A mapped address is the IPv4 one that it maps.
    let (link, multicast) = match address.to_canonical() {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    for (found, why) in [
        (address.is_unspecified(), format!("may not be unspecified ({text})")),
        (
            address.to_canonical().is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        ),
        (link, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ] {
        if found {
            errors.push(FieldError::invalid(path, text, &why));
        }
    }
}

/// What an address's form has against it, if it need not be canonical.
fn ip_faults(text: &str) -> Vec<String> {
    let Some(address) = sloppy(text) else {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()];
    };
    let mut faults = Vec::new();
    if text.parse::<IpAddr>().is_err() {
        faults.push("must not have leading 0s".to_owned());
    }
    if mapped(address) {
        faults.push("must not be an IPv4-mapped IPv6 address".to_owned());
    }
    faults
}

/// What an address's form has against it, if it must be canonical.
pub fn canonical_ip_faults(text: &str) -> Vec<String> {
    let mut faults = ip_faults(text);
    if let Ok(address) = text.parse::<IpAddr>()
        && faults.is_empty()
        && address.to_string() != text
    {
        faults.push(format!("must be in canonical form ({:?})", address.to_string()));
    }
    faults
}

/// Warns of an address that others may read otherwise, or cannot read.
pub(crate) fn warn_ip(told: &mut Vec<String>, path: &Path, text: &str) {
    let Some(address) = sloppy(text) else { return };
    if text.parse::<IpAddr>().is_err() || mapped(address) {
        let good = address.to_canonical().to_string();
        told.push(format!("{path}: non-standard IP address {text:?} is invalid: use {good:?}"));
    } else if address.is_ipv6() && address.to_string() != text {
        let good = address.to_string();
        told.push(format!("{path}: IPv6 address {text:?} should be in RFC 5952 canonical format ({good:?})"));
    }
}

/// Warns of a block of addresses that others may read otherwise, or cannot read.
pub(crate) fn warn_cidr(told: &mut Vec<String>, path: &Path, text: &str) {
    let Some((address, length)) = parse_cidr(text) else { return };
    let good = format!("{}/{length}", first(address, length));
    let before = told.len();
    if has_bits_beyond(address, length) {
        let one = format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
        told.push(format!(
            "{path}: CIDR value {text:?} is ambiguous in this context (should be {good:?} or {one:?}?)"
        ));
    }
    let (written, digits) = text.split_once('/').unwrap_or((text, ""));
    let leading = digits.len() > 1 && digits.starts_with('0');
    if written.parse::<IpAddr>().is_err() || leading || mapped(address) {
        told.push(format!("{path}: non-standard CIDR value {text:?} is invalid: use {good:?}"));
    } else if told.len() == before && address.is_ipv6() && good != text {
        told.push(format!(
            "{path}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({good:?})"
        ));
    }
}

fn cidr_faults(text: &str) -> Vec<String> {
    let Some((address, length)) = parse_cidr(text) else {
        return vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()];
    };
    let (written, digits) = text.split_once('/').unwrap_or((text, ""));
    let leading = digits.len() > 1 && digits.starts_with('0');
    let fault = if written.parse::<IpAddr>().is_err() || leading {
        "must not have leading 0s in IP or prefix length"
    } else if mapped(address) {
        "must not have an IPv4-mapped IPv6 address"
    } else if has_bits_beyond(address, length) {
        "must not have bits set beyond the prefix length"
    } else {
        return Vec::new();
    };
    vec![fault.to_owned()]
}

/// Whether a block is a part of another one, and not all of it; none where one of them is no block.
pub fn contains(whole: &str, part: &str) -> Option<bool> {
    let ((whole, length), (part, longer)) = (parse_cidr(whole)?, parse_cidr(part)?);
    let inside = match (whole, part) {
        (IpAddr::V4(whole), IpAddr::V4(part)) => {
            (whole.to_bits() ^ part.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(whole), IpAddr::V6(part)) => {
            (whole.to_bits() ^ part.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    };
    Some(inside && length < longer)
}

/// An address and the length of a prefix; leading zeros do not matter.
fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, digits) = text.split_once('/')?;
    let address = sloppy(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = digits.parse::<u32>().ok().filter(|length| number && *length <= most)?;
    Some((address, length))
}

/// The first address of a block.
fn first(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()),
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into())
        }
    }
}

fn has_bits_beyond(address: IpAddr, length: u32) -> bool {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_shl(length).unwrap_or(0) != 0,
        IpAddr::V6(address) => address.to_bits().checked_shl(length).unwrap_or(0) != 0,
    }
}

fn mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// An address whose IPv4 parts may have leading zeros, which do not count.
fn sloppy(text: &str) -> Option<IpAddr> {
    let trimmed = |part: &str| {
        let digits = part.trim_start_matches('0');
        if digits.is_empty() && !part.is_empty() { "0".to_owned() } else { digits.to_owned() }
    };
    if text.contains(':') || !text.contains('.') {
        return text.parse().ok();
    }
    text.split('.').map(trimmed).collect::<Vec<_>>().join(".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&mut Vec<FieldError>, &Path, &str);

    fn why(check: Check, text: &str) -> String {
        let mut errors = Vec::new();
        check(&mut errors, &Path::ROOT.field("f"), text);
        errors.first().map(|error| error.message.split_once(": ").unwrap().1.to_owned()).unwrap_or_default()
    }

    #[test]
    fn addresses_and_blocks_are_told_from_what_is_none() {
        let cases: [(Check, &str, &str); 20] = [
            (special_ip, "10.9.8.7", ""),
            (special_ip, "127.0.0.1", "may not be in the loopback range"),
            (special_ip, "::", "may not be unspecified (::)"),
            (special_ip, "fe80::1", "may not be in the link-local range"),
            (special_ip, "224.0.0.1", "may not be in the link-local multicast range"),
            (ip, "10.9.8.7", ""),
            (ip, "FE80::0ABC", ""),
            (ip, "10.9.8", "must be a valid IP address"),
            (ip, "x", "must be a valid IP address"),
            (ip, "010.9.8.7", "must not have leading 0s"),
            (ip, "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            (canonical_ip, "fe80::abc", ""),
            (canonical_ip, "FE80::0ABC", "must be in canonical form (\"fe80::abc\")"),
            (cidr, "10.9.8.0/24", ""),
            (cidr, "10.9.8.0", "must be a valid CIDR value"),
            (cidr, "10.9.8.0/33", "must be a valid CIDR value"),
            (cidr, "10.9.8.7/24", "must not have bits set beyond the prefix length"),
            (cidr, "10.9.8.0/024", "must not have leading 0s in IP or prefix length"),
            (canonical_cidr, "2001:db8::/64", ""),
            (canonical_cidr, "2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")"),
        ];
        for (check, text, want) in cases {
            let found = why(check, text);
            assert!(found.contains(want) && found.is_empty() == want.is_empty(), "{text}: {found}");
        }
    }

    #[test]
    fn forms_that_others_read_otherwise_are_told() {
        let told = |warn: fn(&mut Vec<String>, &Path, &str), text: &str| {
            let mut told = Vec::new();
            warn(&mut told, &Path::ROOT.field("f"), text);
            told.join("|")
        };
        assert_eq!(
            (told(warn_ip, "10.0.0.1"), told(warn_ip, "fd00::1"), told(warn_ip, "x")),
            Default::default()
        );
        assert_eq!(
            told(warn_ip, "010.0.0.1"),
            "f: non-standard IP address \"010.0.0.1\" is invalid: use \"10.0.0.1\""
        );
        assert!(told(warn_ip, "FD00::1").contains("should be in RFC 5952 canonical format (\"fd00::1\")"));
        assert_eq!(told(warn_cidr, "10.0.0.0/8"), "");
        assert_eq!(
            told(warn_cidr, "10.0.0.1/8"),
            "f: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
        );
        assert!(told(warn_cidr, "10.0.0.0/08").contains("use \"10.0.0.0/8\""));
    }

    #[test]
    fn blocks_contain_smaller_ones() {
        assert_eq!(contains("10.0.0.0/8", "10.1.0.0/16"), Some(true));
        assert_eq!(contains("0.0.0.0/0", "10.1.0.0/16"), Some(true));
        assert_eq!(contains("10.0.0.0/8", "10.0.0.0/8"), Some(false));
        assert_eq!(contains("10.0.0.0/8", "11.0.0.0/16"), Some(false));
        assert_eq!(contains("10.0.0.0/8", "fd00::/16"), Some(false));
        assert_eq!(contains("10.0.0.0/8", "x"), None);
    }

    #[test]
    fn families_are_those_of_the_address() {
        assert_eq!(Family::of("10.0.0.0/8"), Some(Family::V4));
        assert_eq!(Family::of("::1"), Some(Family::V6));
        assert_eq!(Family::of("x"), None);
    }
}
