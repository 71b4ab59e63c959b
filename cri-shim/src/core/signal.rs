//! Signals by their CRI and image spellings.

use api_cri::v1::Signal;

/// The first real-time signal that programs see: glibc keeps 32 and 33.
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;
/// What ends a container when nobody says otherwise.
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGKILL: i32 = 9;

const NAMES: &[(&str, i32)] = &[
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", SIGRTMIN),
    ("RTMAX", SIGRTMAX),
];

/// The number of a signal that is spelled `15`, `TERM`, `SIGTERM`, `SIGRTMIN+3`, in any case.
pub(crate) fn number(spelled: &str) -> Option<i32> {
    if let Ok(number) = spelled.parse::<i32>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let upper = spelled.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let (base, offset) = if let Some(offset) = name.strip_prefix("RTMIN+").or(name.strip_prefix("RTMINPLUS"))
    {
        (SIGRTMIN, offset.parse::<i32>().ok()?)
    } else {
        let offset = name.strip_prefix("RTMAX-").or(name.strip_prefix("RTMAXMINUS"))?;
        (SIGRTMAX, -offset.parse::<i32>().ok()?)
    };
    Some(base + offset).filter(|number| (SIGRTMIN..=SIGRTMAX).contains(number))
}

/// The signal that StopContainer sends first: the container's own, the image's, SIGTERM.
pub(crate) fn to_stop(config: Signal, image: &str) -> i32 {
    if config == Signal::RuntimeDefault {
        return number(image).unwrap_or(SIGTERM);
    }
    number(config.as_str_name()).unwrap_or(SIGTERM)
}

/// The CRI's name of a signal, for ContainerStatus.
pub(crate) fn to_cri(signal: i32) -> Signal {
    let name = NAMES.iter().find(|(_, number)| *number == signal).map(|(name, _)| format!("SIG{name}"));
    let name = name.unwrap_or_else(|| match signal - SIGRTMIN {
        offset @ 1..=15 => format!("SIGRTMINPLUS{offset}"),
        _ => format!("SIGRTMAXMINUS{}", SIGRTMAX - signal),
    });
    Signal::from_str_name(&name).unwrap_or(Signal::Sigterm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_of_the_protocol_has_its_number_and_back() {
        for value in 1..=65 {
            let signal = Signal::try_from(value).unwrap();
            let number = number(signal.as_str_name()).unwrap_or_else(|| panic!("{signal:?}"));
            // SIGCLD, SIGIOT and SIGPOLL are second names of the same number.
            let again = to_cri(number);
            assert!(
                again == signal || super::number(again.as_str_name()) == Some(number),
                "{signal:?} {again:?}"
            );
        }
    }

    #[test]
    fn images_spell_signals_in_many_ways() {
        for (spelled, expected) in [
            ("SIGQUIT", Some(3)),
            ("quit", Some(3)),
            ("3", Some(3)),
            ("RTMIN+3", Some(37)),
            ("0", None),
            ("NOPE", None),
            ("RTMAX-40", None),
        ] {
            assert_eq!(number(spelled), expected, "{spelled}");
        }
        assert_eq!(to_stop(Signal::RuntimeDefault, ""), SIGTERM);
        assert_eq!(to_stop(Signal::Sigusr1, "SIGQUIT"), 10);
    }
}
