//! The rules for names (specification, section 2).

/// A name that the specification does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {rule}")]
pub struct NameError {
    what: &'static str,
    value: String,
    rule: &'static str,
}

const RULE: &str = "must start with a letter or digit and have only letters, digits, '_', '.' and '-'";

fn check(what: &'static str, value: &str) -> Result<(), NameError> {
    let head = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let tail = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if head && tail && value.len() <= 255 {
        Ok(())
    } else {
        Err(NameError { what, value: value.into(), rule: RULE })
    }
}

/// Checks a CNI_CONTAINERID.
pub fn check_container_id(value: &str) -> Result<(), NameError> {
    check("container id", value)
}

/// Checks a network's name.
pub fn check_network_name(value: &str) -> Result<(), NameError> {
    check("network name", value)
}

/// Checks a CNI_IFNAME by the kernel's rules for interface names.
pub fn check_ifname(value: &str) -> Result<(), NameError> {
    let refuse = |rule| Err(NameError { what: "interface name", value: value.into(), rule });
    if value.is_empty() || value.len() > 15 {
        return refuse("must have 1 to 15 characters");
    }
    if value == "." || value == ".." {
        return refuse("must not be . or ..");
    }
    if value.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return refuse("must not contain '/', ':' or spaces");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_specification() {
        for good in ["a", "0b", "cbr0", "a.b-c_d"] {
            assert!(check_container_id(good).is_ok() && check_network_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n"] {
            assert!(check_container_id(bad).is_err() && check_network_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for good in ["eth0", "a", "0123456789abcde"] {
            assert!(check_ifname(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "0123456789abcdef", "a\t"] {
            assert!(check_ifname(bad).is_err(), "{bad:?}");
        }
    }
}
