//! Reading our own configuration files: TOML, unknown keys are an error.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is not TOML, or a key is unknown or of the wrong type; the message names line and key.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, key and reason.
        message: String,
    },
}

/// Reads a TOML file into a type that denies unknown fields; a missing file gives the defaults when `optional`.
pub fn load_toml<T: DeserializeOwned + Default>(path: &Path, optional: bool) -> Result<T, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(source) => return Err(ConfigError::Read { path: path.into(), source }),
    };
    toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.into(),
        message: error.to_string().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        port: u16,
    }

    fn load(text: &str) -> Result<Sample, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orlop.toml");
        std::fs::write(&path, text).unwrap();
        load_toml(&path, false)
    }

    #[test]
    fn keys_are_read() {
        assert_eq!(load("port = 7").unwrap(), Sample { port: 7 });
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = load("port = 7\nprot = 8").unwrap_err().to_string();
        assert!(error.contains("prot") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_unless_optional() {
        let nowhere = Path::new("/nonexistent/orlop.toml");
        assert_eq!(load_toml::<Sample>(nowhere, true).unwrap(), Sample::default());
        assert!(
            load_toml::<Sample>(nowhere, false).unwrap_err().to_string().contains("/nonexistent/orlop.toml")
        );
    }
}
