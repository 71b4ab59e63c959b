//! Versions of the specification, and the answer to the VERSION verb.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the CNI specification that this project speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0: one address per family.
    V0_1_0,
    /// 0.2.0: adds the VERSION verb.
    V0_2_0,
    /// 0.3.0: lists of plugins, interfaces and addresses.
    V0_3_0,
    /// 0.3.1: as 0.3.0, with the wording repaired.
    V0_3_1,
    /// 0.4.0: adds CHECK, and the previous result on DEL.
    V0_4_0,
    /// 1.0.0: addresses lose their `version` field.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS.
    V1_1_0,
}

impl Version {
    /// All versions, the oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest one.
    pub const LATEST: Self = Self::V1_1_0;

    /// Its spelling in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Reads a `cniVersion`. A missing one means 0.1.0; anything but an exact match is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::V0_1_0);
        }
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Has CHECK, and gives DEL the previous result.
    pub fn has_check(self) -> bool {
        self >= Self::V0_4_0
    }

    /// Has GC and STATUS.
    pub fn has_gc(self) -> bool {
        self >= Self::V1_1_0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What VERSION prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionReport {
    /// The version of this report.
    pub cni_version: String,
    /// Every version that the plugin speaks.
    #[serde(default)]
    pub supported_versions: Vec<String>,
}

impl Default for VersionReport {
    fn default() -> Self {
        Self {
            cni_version: Version::LATEST.to_string(),
            supported_versions: Version::ALL.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_version_is_the_first_one_and_an_unknown_one_is_none() {
        assert_eq!(Version::parse(""), Some(Version::V0_1_0));
        assert_eq!(Version::parse("0.3.1"), Some(Version::V0_3_1));
        for text in ["1.2.0", "1.1", "v1.1.0", "1.1.0 "] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_as_they_appeared() {
        assert!(Version::ALL.is_sorted());
        assert!(!Version::V0_3_1.has_check() && Version::V0_4_0.has_check());
        assert!(!Version::V1_0_0.has_gc() && Version::V1_1_0.has_gc());
    }
}
