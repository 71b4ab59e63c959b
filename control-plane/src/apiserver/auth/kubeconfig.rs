//! The file that tells kubectl where the server is and who to be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ca::Pair;

/// A kubeconfig with one cluster, one user and one context, all called `orlop`. `server` is a URL.
pub fn kubeconfig(server: &str, authority: &str, user: &Pair) -> String {
    let [authority, certificate, key] =
        [authority, &user.certificate, &user.key].map(|pem| STANDARD.encode(pem));
    // A JSON text is a YAML text, with what would need care escaped.
    let server = serde_json::Value::from(server);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: orlop\n  \
           cluster:\n    \
             server: {server}\n    \
             certificate-authority-data: {authority}\n\
         users:\n\
         - name: orlop\n  \
           user:\n    \
             client-certificate-data: {certificate}\n    \
             client-key-data: {key}\n\
         contexts:\n\
         - name: orlop\n  \
           context:\n    \
             cluster: orlop\n    \
             user: orlop\n\
         current-context: orlop\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_indented_as_yaml_wants() {
        let user = Pair { certificate: "b".into(), key: "c".into() };
        let text = kubeconfig("https://127.0.0.1:6443", "a", &user);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[3..7],
            [
                "- name: orlop",
                "  cluster:",
                "    server: \"https://127.0.0.1:6443\"",
                "    certificate-authority-data: YQ==",
            ]
        );
        assert_eq!(
            lines[9..12],
            ["  user:", "    client-certificate-data: Yg==", "    client-key-data: Yw=="]
        );
        assert_eq!(lines.last(), Some(&"current-context: orlop"));
    }
}
