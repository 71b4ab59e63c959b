//! Which device nodes a cgroup may use: the rules of the OCI specification, last match wins.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// Rules in order; what none matches is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules(pub Vec<DeviceRule>);

/// One rule. `None` means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// `b` or `c`; any with `a`.
    pub kind: Option<char>,
    /// The major number.
    pub major: Option<u32>,
    /// The minor number.
    pub minor: Option<u32>,
    /// Whether it is about reading.
    pub read: bool,
    /// Whether it is about writing.
    pub write: bool,
    /// Whether it is about making nodes.
    pub mknod: bool,
}

/// What every container may use, as the specification's default devices demand: making any node, and using the
/// harmless ones.
const DEFAULTS: [(char, Option<u32>, Option<u32>, &str); 11] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"),
    ('c', Some(1), Some(8), "rwm"),
    ('c', Some(1), Some(7), "rwm"),
    ('c', Some(5), Some(0), "rwm"),
    ('c', Some(1), Some(5), "rwm"),
    ('c', Some(1), Some(9), "rwm"),
    ('c', Some(136), None, "rwm"),
    ('c', Some(5), Some(1), "rwm"),
    ('c', Some(5), Some(2), "rwm"),
];

impl DeviceRule {
    fn new(allow: bool, kind: Option<char>, major: Option<u32>, minor: Option<u32>, access: &str) -> Self {
        let has = |letter| access.contains(letter);
        Self { allow, kind, major, minor, read: has('r'), write: has('w'), mknod: has('m') }
    }

    /// Whether it covers every device and every access.
    pub fn is_all(&self) -> bool {
        self.kind.is_none()
            && self.read
            && self.write
            && self.mknod
            && self.major.is_none()
            && self.minor.is_none()
    }

    /// As the files of version 1 want it: `c 1:3 rwm`, or `a`.
    pub fn to_v1(self) -> String {
        if self.is_all() {
            return "a".to_owned();
        }
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let access: String = [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')]
            .iter()
            .filter(|(has, _)| *has)
            .map(|(_, c)| *c)
            .collect();
        format!("{} {}:{} {access}", self.kind.unwrap_or('a'), number(self.major), number(self.minor))
    }
}

impl DeviceRules {
    /// The rules of a specification, with the default devices behind them.
    pub fn new(rules: &[LinuxDeviceCgroup]) -> Self {
        let spec = rules.iter().map(|rule| {
            let kind = match rule.typ() {
                Some(LinuxDeviceType::B) => Some('b'),
                Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some('c'),
                _ => None,
            };
            // A negative number means any, as a missing one does.
            let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
            let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
            DeviceRule::new(rule.allow(), kind, number(rule.major()), number(rule.minor()), access)
        });
        let defaults = DEFAULTS
            .iter()
            .map(|&(kind, major, minor, access)| DeviceRule::new(true, Some(kind), major, minor, access));
        let mut all: Vec<_> = spec.chain(defaults).collect();
        // Nothing before a rule about everything has an effect.
        if let Some(last) = all.iter().rposition(DeviceRule::is_all) {
            all.drain(..last);
            if all[0].allow {
                // What is allowed anyway need not be said again.
                let denies = all.iter().any(|rule| !rule.allow);
                if !denies {
                    all.truncate(1);
                }
            } else {
                all.remove(0);
            }
        }
        Self(all)
    }

    /// Whether everything is allowed.
    pub fn allows_all(&self) -> bool {
        matches!(self.0.as_slice(), [rule] if rule.allow && rule.is_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> DeviceRules {
        DeviceRules::new(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).unwrap())
    }

    #[test]
    fn denying_everything_leaves_the_defaults() {
        assert_eq!(rules(r#"[{"allow":false,"access":"rwm"}]"#).0.len(), DEFAULTS.len());
    }

    #[test]
    fn allowing_everything_needs_one_rule() {
        assert!(rules(r#"[{"allow":false,"access":"rwm"},{"allow":true,"access":"rwm"}]"#).allows_all());
    }

    #[test]
    fn a_rule_reads_as_version_1_writes_it() {
        let rules = rules(r#"[{"allow":true,"type":"b","major":8,"access":"rw"}]"#);
        assert_eq!(rules.0[0].to_v1(), "b 8:* rw");
    }
}
