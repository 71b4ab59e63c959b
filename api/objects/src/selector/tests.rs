use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(text: &str) -> Result<LabelSelector, String> {
    LabelSelector::parse(text).map_err(|e| e.to_string())
}

#[test]
fn a_selector_fits_the_objects_it_means() {
    let object = json!({"a": "1", "b": "x", "in": "in"});
    for (text, fits) in [
        ("", true),
        ("a", true),
        ("!a", false),
        ("c", false),
        ("!c", true),
        ("a=1", true),
        ("a==1", true),
        ("a!=1", false),
        ("c!=1", true),
        ("a in (1,2)", true),
        ("a notin (1,2)", false),
        ("c notin (1,2)", true),
        ("a>0", true),
        ("a>1", false),
        ("a<2,b=x", true),
        ("a=1,b=y", false),
        ("b>0", false),
        ("a=", false),
        ("c=", false),
        ("in in (in)", true),
        (" a = 1 , b ", true),
        ("a in ()", false),
    ] {
        assert_eq!(labels(text).unwrap().matches_object(&object), fits, "{text}");
    }
}

#[test]
fn wrong_text_is_refused_in_the_words_of_the_api() {
    for (text, message) in [
        ("n in ", "unable to parse requirement: found '' expected: '('"),
        (",x", "found ',', expected: !, identifier, or 'end of string'"),
        ("x,", "found '', expected: identifier after ','"),
        ("x=1 y", "found 'y', expected: ',' or 'end of string'"),
        ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
        ("x=(", "unable to parse requirement: found '(', expected: identifier"),
        ("!=1", "found '!=', expected: !, identifier, or 'end of string'"),
        ("!,", "unable to parse requirement: found ',', expected: identifier"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be \
             an integer",
        ),
    ] {
        assert_eq!(labels(text).unwrap_err(), message, "{text}");
    }
    assert!(
        labels("_x").unwrap_err().starts_with("unable to parse requirement: <nil>: Invalid value: \"_x\": ")
    );
    assert!(labels("x=_").unwrap_err().contains("values[0][x]: Invalid value: \"_\": a valid label must"));
}

#[test]
fn objects_carry_selectors_too() {
    let object = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "Exists"}]});
    let selector = LabelSelector::from_object(&object).unwrap();
    assert_eq!(selector.to_string(), "a in (x,y),b=1,c");
    assert!(selector.matches_object(&json!({"a": "x", "b": "1", "c": ""})));
    assert!(!selector.matches_object(&json!({"a": "x", "b": "1"})));
    let wrong = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    assert_eq!(
        LabelSelector::from_object(&wrong).unwrap_err().to_string(),
        "\"Near\" is not a valid label selector operator"
    );
    assert_eq!(LabelSelector::from_map(&json!({"b": "2", "a": "1"})).to_string(), "a=1,b=2");
}

#[test]
fn field_selectors_are_equalities() {
    let parse = |text| FieldSelector::parse(text).map_err(|e| e.to_string());
    let selector = parse(r"b!=2,a=1\,\=\\,c==").unwrap();
    let terms: Vec<_> =
        selector.terms().iter().map(|t| (t.field.as_str(), t.equal, t.value.as_str())).collect();
    assert_eq!(terms, [("a", true, r"1,=\"), ("b", false, "2"), ("c", true, "")]);
    assert_eq!(selector.exact("a"), Some(r"1,=\"));
    assert_eq!(selector.exact("b"), None);
    assert!(parse("").unwrap().is_empty());
    assert_eq!(parse("zz").unwrap_err(), "invalid selector: 'zz'; can't understand 'zz'");
    assert_eq!(parse("a=b=c").unwrap_err(), "invalid field selector: unescaped character in value: 61");
    assert_eq!(parse(r"a=\x").unwrap_err(), r"invalid field selector: invalid escape sequence: \x");
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_written_is_read_again(text in "[a-c!=<>,() \\t\\\\in.not/_é-]{0,40}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
        let _ = FieldSelector::parse(&text);
    }

    #[test]
    fn a_requirement_and_its_opposite_never_agree(key in "[a-c]", value in "[a-c]{0,2}", label in proptest::option::of("[a-c]{0,2}")) {
        let holds = |operator: &str| {
            let selector = LabelSelector::parse(&format!("{key}{operator}{value}")).unwrap();
            selector.matches(|_| label.as_deref())
        };
        prop_assert_ne!(holds("="), holds("!="));
        prop_assert_eq!(holds("="), holds("=="));
    }
}
