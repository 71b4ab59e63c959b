//! Which subprotocol a connection speaks.

/// A subprotocol of `Sec-WebSocket-Protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Kubernetes 1.4 and later.
    V4,
    /// Kubernetes 1.29 and later: standard input can be closed by itself.
    V5,
}

/// What [`Protocol::choose`] prefers, best first.
const KNOWN: [Protocol; 2] = [Protocol::V5, Protocol::V4];

impl Protocol {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }

    /// The value of `Sec-WebSocket-Protocol` that a client offers: all that we speak, best first.
    pub fn offer() -> String {
        KNOWN.map(Self::name).join(", ")
    }

    /// The newest protocol among those offered, each value a comma-separated list (RFC 6455, 4.1).
    pub fn choose<'a>(offered: impl IntoIterator<Item = &'a str>) -> Result<Self, NegotiationError> {
        let names: Vec<&str> = offered
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        let chosen = KNOWN.into_iter().find(|protocol| names.contains(&protocol.name()));
        chosen.ok_or_else(|| NegotiationError(names.join(", ")))
    }

    /// Reads a name, as the answering side chose it.
    pub fn from_name(name: &str) -> Result<Self, NegotiationError> {
        Self::choose([name])
    }

    /// Whether a single channel can be closed.
    pub fn closes_channels(self) -> bool {
        self == Self::V5
    }
}

/// No subprotocol in common.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no subprotocol in common: offered {0:?}, spoken here are v5.channel.k8s.io and v4.channel.k8s.io (over WebSocket)"
)]
pub struct NegotiationError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_protocol_is_chosen_whatever_the_order() {
        for (offered, expected) in [
            (vec!["v4.channel.k8s.io, v5.channel.k8s.io"], Protocol::V5),
            (vec!["v4.channel.k8s.io", "v5.channel.k8s.io"], Protocol::V5),
            (vec!["v4.base64.channel.k8s.io,v4.channel.k8s.io"], Protocol::V4),
        ] {
            assert_eq!(Protocol::choose(offered), Ok(expected));
        }
    }

    #[test]
    fn what_was_offered_is_named_when_nothing_fits() {
        let error = Protocol::choose(["SPDY/3.1+portforward.k8s.io"]).unwrap_err().to_string();
        assert!(
            error.contains("SPDY/3.1+portforward.k8s.io") && error.contains("v5.channel.k8s.io"),
            "{error}"
        );
        assert!(Protocol::choose([""]).is_err());
    }

    #[test]
    fn our_own_offer_is_understood() {
        assert_eq!(Protocol::choose([Protocol::offer().as_str()]), Ok(Protocol::V5));
    }
}
