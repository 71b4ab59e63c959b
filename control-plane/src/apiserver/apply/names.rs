//! The name of whoever writes.

/// Longer names are cut.
const LONGEST: usize = 128;

/// The parameter `fieldManager`, or what stands before the first slash of the User-Agent, printable and not too long.
pub fn manager_name(parameter: &str, user_agent: &str) -> String {
    if !parameter.is_empty() {
        return parameter.to_owned();
    }
    let mut name = String::new();
    let agent = user_agent.split('/').next().unwrap_or_default();
    for character in agent.chars().filter(|character| !character.is_control()) {
        if name.len() + character.len_utf8() > LONGEST {
            break;
        }
        name.push(character);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::manager_name;

    #[test]
    fn the_parameter_counts_more_than_the_user_agent() {
        assert_eq!(manager_name("m", "kubectl/v1.36.0 (linux/amd64)"), "m");
        assert_eq!(manager_name("", "kubectl/v1.36.0 (linux/amd64)"), "kubectl");
        assert_eq!(manager_name("", "a\nb"), "ab");
        assert_eq!(manager_name("", &"ä".repeat(200)).len(), 128);
    }
}
