//! Another number of pods is asked for: how the sets share it.

use super::numbers::Numbers;
use super::sets::Set;

/// Brings the sets to the number asked for. Who is rolled out keeps its share, so that a rollout that goes wrong is not
/// made worse by scaling it.
pub(super) fn scale(new: Option<&mut Set>, old: &mut [Set], numbers: Numbers, total: i64) {
    let latest = new.as_deref().is_some_and(|new| {
        let complete =
            new.desired() == Some(numbers.replicas) && new.status("availableReplicas") == numbers.replicas;
        new.replicas() == numbers.replicas && complete
    });
    let mut sets: Vec<&mut Set> = old.iter_mut().collect();
    let olds = sets.len();
    sets.extend(new);
    let active: Vec<usize> = (0..sets.len()).filter(|at| sets[*at].replicas() > 0).collect();
    let alone = match active.as_slice() {
        [] => {
            // Nothing runs: the new one, or the last one that there was.
            let last = (0..olds).max_by_key(|at| (sets[*at].created, sets[*at].id.name.clone()));
            Some(if sets.len() > olds { olds } else { last.unwrap_or(usize::MAX) })
        }
        [one] => Some(*one),
        _ => None,
    };
    if let Some(alone) = alone {
        if let Some(set) = sets.get_mut(alone) {
            set.scale(numbers.replicas, numbers);
        }
        return;
    }
    if latest {
        sets[..olds].iter_mut().for_each(|set| set.scale(0, numbers));
        return;
    }
    if !numbers.recreate {
        let mut active: Vec<&mut Set> = sets.into_iter().filter(|set| set.replicas() > 0).collect();
        share(&mut active, numbers, total);
    }
}

/// Shares what is to be added or taken away in proportion to what the sets have. The largest gets what is left by
/// rounding; of equals, the newest when pods come and the oldest when they go.
fn share(sets: &mut [&mut Set], numbers: Numbers, total: i64) {
    let now: i64 = sets.iter().map(|set| set.replicas()).sum();
    let most = if numbers.replicas > 0 { numbers.most() } else { 0 };
    let missing = most - now;
    sets.sort_by(|a, b| {
        let by_age = a.created.cmp(&b.created);
        b.replicas().cmp(&a.replicas()).then(if missing > 0 { by_age.reverse() } else { by_age })
    });
    let mut given = 0;
    let shares: Vec<i64> = sets
        .iter()
        .map(|set| {
            let share = proportion(set, numbers, total, missing, given);
            given += share;
            share
        })
        .collect();
    for (at, (set, share)) in sets.iter_mut().zip(shares).enumerate() {
        let rest = if at == 0 { missing - given } else { 0 };
        let replicas = (set.replicas() + share + rest).max(0);
        set.scale(replicas, numbers);
    }
}

fn proportion(set: &Set, numbers: Numbers, total: i64, missing: i64, given: i64) -> i64 {
    let left = missing - given;
    if set.replicas() == 0 || left == 0 {
        return 0;
    }
    let before = set.most().filter(|most| *most > 0).unwrap_or(total);
    let fraction = if numbers.replicas == 0 {
        -set.replicas()
    } else if before == 0 {
        0
    } else {
        // Rounded to the nearest.
        (2 * set.replicas() * numbers.most() + before).div_euclid(2 * before) - set.replicas()
    };
    if missing > 0 { fraction.min(left) } else { fraction.max(left) }
}
