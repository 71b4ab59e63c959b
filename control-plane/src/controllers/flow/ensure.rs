//! What to write so that the standard levels and schemas are there, and those of older servers are not.
//!
//! ```text
//!   not there ─▶ made
//!   nobody may change it ───────────────────────────▶ annotated "true",  spec as the server has it
//!   suggested, annotated "true", or never changed ──▶ annotated "true",  spec as the server has it
//!   suggested, annotated "false", or changed ───────▶ annotated "false", spec as it is
//!   not a standard one, annotated "true" ───────────▶ deleted
//! ```

use serde_json::{Value, json};

use super::standard::{self, Standard};
use super::{LEVELS, SCHEMAS};
use crate::client::{Gvr, Id};

/// The annotation that says whether the server may change a spec.
pub(super) const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// What of the exempt level belongs to whoever runs the cluster.
const SHARES: [&str; 2] = ["nominalConcurrencyShares", "lendablePercent"];

/// A write that is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is not there.
    Create(Gvr, Value),
    /// It is not as it should be; the object carries the resourceVersion that was read.
    Update(Id, Value),
    /// It is not needed any more.
    Delete {
        /// Where it is.
        id: Id,
        /// Which one.
        uid: String,
        /// As it was at this write.
        revision: u64,
    },
}

impl Step {
    fn kind(&self) -> &Gvr {
        match self {
            Self::Create(kind, _) => kind,
            Self::Update(id, _) | Self::Delete { id, .. } => &id.kind,
        }
    }
}

/// The writes that may be made at the same time, in their order.
pub fn together(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, next| one.kind() == next.kind())
}

/// The writes that are due, in an order in which no schema leads nowhere.
pub fn plan(levels: &[Value], schemas: &[Value]) -> Vec<Step> {
    let both = [(&LEVELS, levels, standard::levels()), (&SCHEMAS, schemas, standard::schemas())];
    let mut steps: Vec<Step> =
        both.iter().flat_map(|(kind, found, wanted)| keep(kind, found, wanted)).collect();
    steps.extend(both.iter().rev().flat_map(|(kind, found, wanted)| remove(kind, found, wanted)));
    steps
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn keep<'a>(kind: &'a Gvr, found: &'a [Value], wanted: &'a [Standard]) -> impl Iterator<Item = Step> + 'a {
    wanted.iter().filter_map(move |wanted| {
        let name = name(&wanted.object);
        match found.iter().find(|found| self::name(found) == name) {
            None => Some(Step::Create(*kind, wanted.object.clone())),
            Some(found) => revised(found, wanted).map(|object| Step::Update(Id::new(kind, "", name), object)),
        }
    })
}

/// What an object is to be, where it is not so already.
fn revised(found: &Value, wanted: &Standard) -> Option<Value> {
    let said = auto_update(found);
    let ours = wanted.mandatory || said.unwrap_or_else(|| found["metadata"]["generation"] == 1);
    let spec = spec(found, &wanted.object);
    let differs = ours && found["spec"] != spec;
    if !differs && said == Some(ours) {
        return None;
    }
    let mut object = found.clone();
    if differs {
        object["spec"] = spec;
    }
    if said != Some(ours) {
        let annotations = &mut object["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations[AUTO_UPDATE] = ours.to_string().into();
    }
    Some(object)
}

/// The spec that an object should have.
fn spec(found: &Value, wanted: &Value) -> Value {
    let mut spec = wanted["spec"].clone();
    if let Some(exempt) = spec.get_mut("exempt") {
        for field in SHARES {
            if let Some(theirs) = found["spec"]["exempt"].get(field) {
                exempt[field] = theirs.clone();
            }
        }
    }
    spec
}

/// What an object's annotation says, if it says anything.
fn auto_update(object: &Value) -> Option<bool> {
    // These are what Go's strconv.ParseBool takes.
    match object["metadata"]["annotations"][AUTO_UPDATE].as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn remove<'a>(kind: &'a Gvr, found: &'a [Value], wanted: &'a [Standard]) -> impl Iterator<Item = Step> + 'a {
    let unwanted = move |found: &&Value| {
        auto_update(found) == Some(true) && !wanted.iter().any(|wanted| name(&wanted.object) == name(found))
    };
    found.iter().filter(unwanted).map(|found| {
        let meta = &found["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or_default();
        let revision = text("resourceVersion").parse().unwrap_or(0);
        Step::Delete { id: Id::new(kind, "", name(found)), uid: text("uid").to_owned(), revision }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster as it is after the first start.
    fn made() -> [Vec<Value>; 2] {
        let mut made = [Vec::new(), Vec::new()];
        for step in plan(&[], &[]) {
            let Step::Create(kind, mut object) = step else { panic!("{step:?}") };
            object["metadata"]["generation"] = 1.into();
            made[usize::from(kind == SCHEMAS)].push(object);
        }
        made
    }

    fn of<'a>(objects: &'a mut [Value], wanted: &str) -> &'a mut Value {
        objects.iter_mut().find(|object| name(object) == wanted).unwrap()
    }

    #[test]
    fn levels_are_made_first_and_nothing_the_second_time() {
        let [levels, schemas] = made();
        let first: Vec<Gvr> = plan(&[], &[])
            .iter()
            .map(|step| match step {
                Step::Create(kind, _) => *kind,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(first.iter().position(|kind| *kind == SCHEMAS), Some(levels.len()));
        let sizes: Vec<_> = together(&plan(&[], &[])).map(<[Step]>::len).collect();
        assert_eq!(sizes, [levels.len(), schemas.len()]);
        assert_eq!(plan(&levels, &schemas), []);
    }

    /// What one level becomes of what a person made it.
    fn after(
        which: &str,
        annotation: Option<&str>,
        generation: i64,
        change: &str,
        to: Value,
    ) -> Option<Value> {
        let [mut levels, schemas] = made();
        let level = of(&mut levels, which);
        level["metadata"]["annotations"] =
            annotation.map_or(Value::Null, |text| json!({ AUTO_UPDATE: text }));
        level["metadata"]["generation"] = generation.into();
        *level.pointer_mut(change).unwrap() = to;
        let steps = plan(&levels, &schemas);
        match &steps[..] {
            [] => None,
            [Step::Update(id, object)] if id.name == which => Some(object.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_suggested_object_is_mended_unless_a_person_changed_it() {
        const SHARES: &str = "/spec/limited/nominalConcurrencyShares";
        for (annotation, generation, says, mended) in [
            (Some("true"), 2, "true", true),
            (Some("T"), 2, "T", true),
            (None, 1, "true", true),
            (Some("perhaps"), 1, "true", true),
            (None, 2, "false", false),
            (Some("perhaps"), 2, "false", false),
        ] {
            let object = after("system", annotation, generation, SHARES, json!(7)).unwrap();
            let shares = if mended { 30 } else { 7 };
            assert_eq!(object.pointer(SHARES), Some(&json!(shares)), "{annotation:?} {generation}");
            assert_eq!(object["metadata"]["annotations"][AUTO_UPDATE], says, "{annotation:?} {generation}");
        }
        assert_eq!(after("system", Some("false"), 1, SHARES, json!(7)), None);
        assert_eq!(after("system", Some("0"), 2, SHARES, json!(7)), None);
        // The annotation alone.
        assert_eq!(after("system", None, 5, SHARES, json!(30)).unwrap()["spec"], made()[0][0]["spec"]);
    }

    #[test]
    fn a_mandatory_object_is_mended_whoever_changed_it() {
        let object = after("catch-all", Some("false"), 9, "/spec/limited/lendablePercent", json!(1)).unwrap();
        assert_eq!(object["spec"]["limited"]["lendablePercent"], 0);
        assert_eq!(object["metadata"]["annotations"][AUTO_UPDATE], "true");
        // But for how much the exempt level lends.
        let shares = "/spec/exempt/nominalConcurrencyShares";
        assert_eq!(after("exempt", Some("true"), 9, shares, json!(3)), None);
        let annotated = after("exempt", Some("false"), 9, shares, json!(3)).unwrap();
        assert_eq!(annotated.pointer(shares), Some(&json!(3)));
    }

    #[test]
    fn what_the_server_had_once_goes_and_what_persons_made_stays() {
        let [mut levels, mut schemas] = made();
        for (annotation, name) in [(Some("true"), "old"), (Some("false"), "kept"), (None, "own")] {
            let mut meta = json!({ "name": name, "uid": "u", "resourceVersion": "7" });
            if let Some(text) = annotation {
                meta["annotations"] = json!({ AUTO_UPDATE: text });
            }
            levels.push(json!({ "metadata": meta }));
            schemas.push(json!({ "metadata": meta }));
        }
        let deleted = |kind| Step::Delete { id: Id::new(kind, "", "old"), uid: "u".to_owned(), revision: 7 };
        assert_eq!(plan(&levels, &schemas), [deleted(&SCHEMAS), deleted(&LEVELS)]);
    }
}
