//! How many pods a Deployment may have too many or too few.

use serde_json::Value;

/// What a Deployment's spec says in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The pods asked for.
    pub replicas: i64,
    /// Old pods go before new ones come.
    pub recreate: bool,
    /// So many may there be beyond those asked for.
    pub surge: i64,
    /// So many of those asked for may be unavailable.
    pub unavailable: i64,
}

impl Numbers {
    /// Reads a spec.
    pub(super) fn of(spec: &Value) -> Self {
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let strategy = &spec["strategy"];
        if strategy["type"] == "Recreate" {
            return Self { replicas, recreate: true, surge: 0, unavailable: 0 };
        }
        let rolling = &strategy["rollingUpdate"];
        let surge = part(&rolling["maxSurge"], replicas, true);
        let unavailable = part(&rolling["maxUnavailable"], replicas, false);
        // With neither, no pod could ever be replaced.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Self { replicas, recreate: false, surge, unavailable: unavailable.min(replicas) }
    }

    /// So many pods there may be.
    pub(super) fn most(self) -> i64 {
        self.replicas + self.surge
    }

    /// So many pods must be available.
    pub(super) fn least(self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// A number, or a part of a whole in percent. A quarter where nothing is said.
pub(in crate::controllers) fn part(value: &Value, whole: i64, up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok()).unwrap_or(25);
    let hundredths = percent * whole;
    if up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_are_rounded_so_that_something_can_happen() {
        let numbers = |replicas: i64, surge: Value, unavailable: Value| {
            let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            let spec = json!({"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}});
            let numbers = Numbers::of(&spec);
            (numbers.most(), numbers.least())
        };
        assert_eq!(numbers(10, json!("25%"), json!("25%")), (13, 8));
        assert_eq!(numbers(1, json!("25%"), json!("25%")), (2, 1));
        assert_eq!(numbers(10, json!(0), json!("1%")), (10, 9));
        assert_eq!(numbers(2, json!(1), json!(5)), (3, 0));
        assert_eq!(numbers(0, json!("25%"), json!("25%")), (0, 0));
        let spec = json!({"replicas": 3, "strategy": {"type": "Recreate"}});
        assert_eq!(Numbers::of(&spec), Numbers { replicas: 3, recreate: true, surge: 0, unavailable: 0 });
        assert_eq!(Numbers::of(&json!({})).most(), 2, "what is not said is as its default");
    }
}
