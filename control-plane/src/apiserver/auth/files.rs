//! The authorities, keys and certificates of a server below its data folder.
//!
//! ```text
//!  ca.crt  ca.key                          signs clients, kubelets and this server
//!  front-proxy-ca.crt  front-proxy-ca.key  signs who may speak for others to extension servers
//!  apiserver.crt  apiserver.key            shown to clients
//!  admin.crt  admin.key                    system:masters, for the kubeconfig
//!  sa.key                                  signs service-account tokens
//! ```
//!
//! A key is written before its certificate and never again; a certificate changes by one rename. So whatever moment
//! a crash takes, what is found is a pair, or a key that still lacks its certificate, which is then made. A
//! certificate without its key, or with another one, is an error: somebody mixed files, and guessing would lock
//! clients out.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::MASTERS;
use super::ca::{self, CertificateError, Pair, Profile, Standing};
use super::token::{KeyError, SigningKey};

/// What a server stands on.
#[derive(Debug)]
pub struct Files {
    /// Signs clients, kubelets and this server.
    pub authority: Pair,
    /// Signs who may speak for others to extension servers.
    pub front_proxy: Pair,
    /// Shown to clients.
    pub serving: Pair,
    /// A member of `system:masters`.
    pub admin: Pair,
    /// Signs service-account tokens.
    pub signing_key: SigningKey,
}

/// Why a folder of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refuses.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a certificate and no key.
    #[error("{} is missing for {}: put it back, or remove the certificate to begin anew", key.display(), certificate.display())]
    Half {
        /// The certificate.
        certificate: PathBuf,
        /// The key that it lacks.
        key: PathBuf,
    },
    /// A pair is damaged or does not belong together.
    #[error("{}: {source}; restore the pair, or remove both of its files to begin anew", certificate.display())]
    Pair {
        /// The certificate of the pair.
        certificate: PathBuf,
        /// What is wrong.
        source: CertificateError,
    },
    /// The key that signs tokens is damaged.
    #[error("{}: {source}; restore it, or remove it and with it all tokens", path.display())]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// The names that every server is called by inside its cluster.
pub fn cluster_names(domain: &str) -> Vec<String> {
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    names.push(format!("kubernetes.default.svc.{domain}"));
    names.push("localhost".to_owned());
    names
}

/// Finds or makes everything in `folder`, and makes anew what is due. `names` and `addresses` are those that the
/// server is called by. To be called at start, and now and then while serving.
///
/// # Errors
/// When the folder cannot be used, or what is in it is damaged.
pub fn prepare(
    folder: &Path,
    names: &[String],
    addresses: &[IpAddr],
    now: Timestamp,
) -> Result<Files, FilesError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(io_error("make folder", folder))?;
    restrict(folder, 0o700)?;
    let pair = |name, profile, issuer| pair(folder, name, &profile, issuer, now);
    let authority = pair("ca", Profile::Authority { name: "kubernetes" }, None)?;
    let front_proxy = pair("front-proxy-ca", Profile::Authority { name: "front-proxy-ca" }, None)?;
    let serving = pair("apiserver", Profile::Server { names, addresses }, Some(&authority))?;
    let admin = Profile::Client { user: "kubernetes-admin", group: Some(MASTERS) };
    let admin = pair("admin", admin, Some(&authority))?;
    let path = folder.join("sa.key");
    let key = key(&path)?;
    let signing_key = SigningKey::from_pem(&key).map_err(|source| FilesError::SigningKey { path, source })?;
    Ok(Files { authority, front_proxy, serving, admin, signing_key })
}

/// Writes a file that only its owner may read, all of it or nothing: a kubeconfig, say.
///
/// # Errors
/// When the folder is missing or the system refuses.
pub fn write_private(path: &Path, text: &str) -> Result<(), FilesError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&new, text)
        .and_then(|()| fs::rename(&new, path).map_err(io_error("rename to", path)))
        .and_then(|()| {
            let folder_file = File::open(folder).map_err(io_error("open", folder))?;
            folder_file.sync_all().map_err(io_error("sync", folder))
        });
    if written.is_err() {
        // The first error is the one to tell; what was begun is of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, text: &str) -> Result<(), FilesError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", path)(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(io_error("make", path))?;
    file.write_all(text.as_bytes()).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

fn pair(
    folder: &Path,
    name: &str,
    profile: &Profile<'_>,
    issuer: Option<&Pair>,
    now: Timestamp,
) -> Result<Pair, FilesError> {
    let path = folder.join(format!("{name}.crt"));
    let key_path = folder.join(format!("{name}.key"));
    let found = read(&path)?;
    if found.is_some() && !exists(&key_path)? {
        return Err(FilesError::Half { certificate: path, key: key_path });
    }
    let key = key(&key_path)?;
    let damaged = |source| FilesError::Pair { certificate: path.clone(), source };
    if let Some(certificate) = found {
        let pair = Pair { certificate, key: key.clone() };
        match ca::examine(&pair, profile, issuer, now).map_err(damaged)? {
            Standing::Good => return Ok(pair),
            Standing::Renew(why) => {
                tracing::info!(certificate = %path.display(), why, "making a certificate anew")
            }
        }
    }
    let certificate = ca::issue(profile, &key, issuer, now).map_err(damaged)?;
    write_private(&path, &certificate)?;
    Ok(Pair { certificate, key })
}

/// A key that is there, or a new one.
fn key(path: &Path) -> Result<String, FilesError> {
    if let Some(key) = read(path)? {
        restrict(path, 0o600)?;
        return Ok(key);
    }
    let key = ca::new_key().map_err(|source| FilesError::Pair { certificate: path.to_owned(), source })?;
    write_private(path, &key)?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<String>, FilesError> {
    match fs::read(path) {
        // What is no text is no PEM, which is for the parser to say.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn exists(path: &Path) -> Result<bool, FilesError> {
    path.try_exists().map_err(io_error("look at", path))
}

/// Takes away what others may do with a file that is not for them.
fn restrict(path: &Path, mode: u32) -> Result<(), FilesError> {
    let found = fs::metadata(path).map_err(io_error("look at", path))?.permissions().mode() & 0o7777;
    if found & !mode == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could use this: restricted to mode {mode:o}, it was {found:o}");
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io_error("restrict", path))
}

fn io_error(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Io { op, path, source }
}

#[cfg(test)]
mod tests;
