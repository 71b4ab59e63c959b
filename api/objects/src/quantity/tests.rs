use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|_| panic!("{text} is a quantity"))
}

#[test]
fn differences_and_whole_numbers_keep_their_style() {
    assert_eq!((parse("2Gi") - parse("1Gi")).to_string(), "1Gi");
    assert_eq!((parse("1") - parse("1500m")).to_string(), "-500m");
    assert_eq!(parse("1500m").rounded_up().to_string(), "2");
    assert_eq!(parse("3Ki").rounded_up().to_string(), "3Ki");
}

#[test]
fn the_canonical_form_has_no_fraction_and_the_largest_suffix() {
    for (text, want) in [
        ("0", "0"),
        ("0Mi", "0"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("1.5", "1500m"),
        ("1500", "1500"),
        ("1000", "1k"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1023", "1023"),
        ("1e3", "1e3"),
        ("12E2", "1200"),
        ("1E", "1E"),
        ("-2.5", "-2500m"),
        ("+3", "3"),
        (".5", "500m"),
        ("5.", "5"),
        ("0.0000000001", "1n"),
        ("1u", "1u"),
        ("0.1Ki", "102400m"),
        ("10E", "9223372036854775807"),
        ("64Mi", "64Mi"),
    ] {
        assert_eq!(parse(text).to_string(), want, "{text}");
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    for text in ["", "m", "1mm", "1 Mi", "1KI", "1K", "x", "--1", "1..2", "1e", "1ee3", ".", "1MiB", "0x10"] {
        assert!(text.parse::<Quantity>().is_err(), "{text}");
    }
}

#[test]
fn values_round_up() {
    assert_eq!(parse("1m").units(), 1);
    assert_eq!(parse("1001m").units(), 2);
    assert_eq!(parse("0.1m").millis(), 1);
    assert_eq!(parse("250m").divided_by(parse("1m")), 250);
    assert_eq!(parse("250m").divided_by(parse("1")), 1);
    assert_eq!(parse("33Mi").divided_by(parse("10Mi")), 4);
    assert_eq!(parse("5").divided_by(parse("0")), 5);
    assert_eq!(parse("-1500m").units(), -1);
}

#[test]
fn sums_keep_the_style_of_what_is_there() {
    assert_eq!((Quantity::ZERO + parse("64Mi")).to_string(), "64Mi");
    assert_eq!((parse("500m") + parse("1")).to_string(), "1500m");
    assert!(parse("1Gi") > parse("1G"));
    assert_eq!(parse("1Ki"), parse("1024"));
}

proptest! {
    #[test]
    fn no_text_panics_and_canonical_is_stable(text in "\\PC{0,24}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            let canonical = quantity.to_string();
            prop_assert_eq!(parse(&canonical), quantity);
            prop_assert_eq!(parse(&canonical).to_string(), canonical);
        }
    }

    #[test]
    fn what_looks_like_a_quantity_keeps_its_value(
        text in "[+-]?[0-9]{0,30}\\.?[0-9]{0,30}(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,4})?"
    ) {
        if let Ok(quantity) = text.parse::<Quantity>() {
            prop_assert_eq!(parse(&quantity.to_string()), quantity);
        }
    }

    #[test]
    fn whole_numbers_survive(units in -i64::MAX..=i64::MAX) {
        prop_assert_eq!(Quantity::from_units(units).units(), units);
        prop_assert_eq!(parse(&units.to_string()).units(), units);
        prop_assert_eq!(parse(&Quantity::from_bytes(units).to_string()), Quantity::from_bytes(units));
    }
}
