//! Who has the seats of a pool, and who gets the next one: told and asked, it waits for nothing itself.
//!
//! ```text
//!   ask ──▶ seated ─────────────────────────────▶ leave
//!    │        ▲ a seat is free and it is the flow's turn
//!    ├──▶ waiting ──▶ gives up
//!    └──▶ refused: too many wait already
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// So many requests of one flow may wait.
const WAITING: usize = 300;
/// So many may wait in all.
const WAITING_IN_ALL: usize = 4_000;
/// Of so many seats one is kept for the cluster's own parts.
const KEPT: usize = 4;
/// One flow has at most one in so many seats.
const SHARE: usize = 2;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// The user's name.
    pub(super) user: Arc<str>,
    /// One of the cluster's own parts.
    pub(super) system: bool,
}

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What becomes of a request that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is done at once.
    Seated,
    /// It is done in its turn.
    Waits(Ticket),
    /// It is not done.
    Full,
}

/// Seats, and who waits for one.
#[derive(Debug)]
pub(super) struct Pool {
    /// None: as many as are asked for.
    seats: Option<usize>,
    taken: usize,
    /// Of these, by others than the cluster's own parts.
    taken_by_others: usize,
    flows: HashMap<Arc<str>, Share>,
    waiting: usize,
    next: u64,
}

/// What a flow has; it is forgotten when that is nothing.
#[derive(Debug)]
struct Share {
    system: bool,
    held: usize,
    waits: VecDeque<Ticket>,
}

impl Pool {
    /// A pool of so many seats; 0 stands for no bound.
    pub(super) fn new(seats: usize) -> Self {
        let seats = Some(seats).filter(|seats| *seats > 0);
        Self { seats, taken: 0, taken_by_others: 0, flows: HashMap::new(), waiting: 0, next: 0 }
    }

    /// How many seats there are from now on.
    pub(super) fn resize(&mut self, seats: usize) {
        self.seats = Some(seats).filter(|seats| *seats > 0);
    }

    /// How many seats are taken, and how many requests wait for one.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.taken, self.waiting)
    }

    /// A request comes.
    pub(super) fn ask(&mut self, flow: &Flow) -> Asked {
        // Who comes when others of its flow wait stands behind them, even where there is room again.
        let alone = self.flows.get(&flow.user).is_none_or(|share| share.waits.is_empty());
        let held = self.flows.get(&flow.user).map_or(0, |share| share.held);
        if alone && self.has_room(flow.system, held) {
            self.seat(flow);
            return Asked::Seated;
        }
        if self.waiting >= WAITING_IN_ALL {
            return Asked::Full;
        }
        let ticket = Ticket(self.next);
        let share = self.share(flow);
        if share.waits.len() >= WAITING {
            return Asked::Full;
        }
        share.waits.push_back(ticket);
        self.next += 1;
        self.waiting += 1;
        Asked::Waits(ticket)
    }

    /// A request that had a seat is done. These have one now.
    pub(super) fn leave(&mut self, flow: &Flow) -> Vec<Ticket> {
        if let Some(share) = self.flows.get_mut(&flow.user) {
            share.held -= 1;
            self.taken -= 1;
            self.taken_by_others -= usize::from(!share.system);
        }
        self.forget(&flow.user);
        let mut seated = Vec::new();
        while let Some(ticket) = self.turn() {
            seated.push(ticket);
        }
        seated
    }

    /// A request waits no longer.
    pub(super) fn give_up(&mut self, flow: &Flow, ticket: Ticket) {
        if let Some(share) = self.flows.get_mut(&flow.user) {
            let before = share.waits.len();
            share.waits.retain(|other| *other != ticket);
            self.waiting -= before - share.waits.len();
        }
        self.forget(&flow.user);
    }

    /// Seats the one whose turn it is: of the flows that may have a seat the one that has fewest; of these who waits
    /// longest.
    fn turn(&mut self) -> Option<Ticket> {
        let waiting = self.flows.iter().filter_map(|(user, share)| {
            let first = share.waits.front()?;
            self.has_room(share.system, share.held).then_some((share.held, *first, user, share.system))
        });
        let (_, ticket, user, system) = waiting.min_by_key(|(held, first, ..)| (*held, *first))?;
        let flow = Flow { user: user.clone(), system };
        self.share(&flow).waits.pop_front();
        self.waiting -= 1;
        self.seat(&flow);
        Some(ticket)
    }

    /// May a flow that holds so many seats have another one?
    fn has_room(&self, system: bool, held: usize) -> bool {
        let Some(seats) = self.seats else { return true };
        let of_others = seats - seats / KEPT;
        self.taken < seats && held < seats.div_ceil(SHARE) && (system || self.taken_by_others < of_others)
    }

    fn seat(&mut self, flow: &Flow) {
        let share = self.share(flow);
        share.held += 1;
        let system = share.system;
        self.taken += 1;
        self.taken_by_others += usize::from(!system);
    }

    fn share(&mut self, flow: &Flow) -> &mut Share {
        let share = || Share { system: flow.system, held: 0, waits: VecDeque::new() };
        self.flows.entry(flow.user.clone()).or_insert_with(share)
    }

    fn forget(&mut self, user: &Arc<str>) {
        if self.flows.get(user).is_some_and(|share| share.held == 0 && share.waits.is_empty()) {
            self.flows.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(user: &str) -> Flow {
        Flow { user: user.into(), system: user.starts_with("system") }
    }

    fn seated(pool: &mut Pool, user: &str, times: usize) -> usize {
        (0..times).filter(|_| pool.ask(&flow(user)) == Asked::Seated).count()
    }

    #[test]
    fn one_user_has_half_others_the_rest_and_a_quarter_is_the_clusters() {
        let mut pool = Pool::new(8);
        assert_eq!(seated(&mut pool, "greedy", 10), 4);
        assert_eq!(seated(&mut pool, "modest", 3), 2);
        assert_eq!(seated(&mut pool, "system:node:n", 5), 2);
        assert_eq!(pool.used(), (8, 6 + 1 + 3));
        let mut pool = Pool::new(0);
        assert_eq!(seated(&mut pool, "greedy", 1000), 1000);
        assert_eq!(seated(&mut Pool::new(1), "greedy", 2), 1);
    }

    #[test]
    fn a_free_seat_goes_to_who_has_fewest_and_among_them_to_who_waits_longest() {
        let mut pool = Pool::new(4);
        assert_eq!(seated(&mut pool, "a", 2), 2);
        assert_eq!(seated(&mut pool, "b", 1), 1);
        let waits = |pool: &mut Pool, user| match pool.ask(&flow(user)) {
            Asked::Waits(ticket) => ticket,
            other => panic!("{user}: {other:?}"),
        };
        let (a, b, c, d) =
            (waits(&mut pool, "a"), waits(&mut pool, "b"), waits(&mut pool, "c"), waits(&mut pool, "d"));
        assert_eq!(pool.leave(&flow("a")), [c]);
        assert_eq!(pool.leave(&flow("c")), [d]);
        // Both have one; a came first.
        assert_eq!(pool.leave(&flow("d")), [a]);
        pool.give_up(&flow("b"), b);
        assert_eq!((pool.leave(&flow("a")), pool.used()), (vec![], (2, 0)));
    }

    #[test]
    fn no_more_wait_than_are_ever_served() {
        let mut pool = Pool::new(2);
        let full = (0..WAITING + 2).filter(|_| pool.ask(&flow("a")) == Asked::Full).count();
        assert_eq!((full, pool.used()), (1, (1, WAITING)));
        for n in 0..WAITING_IN_ALL {
            pool.ask(&flow(&format!("u{n}")));
        }
        assert_eq!((pool.ask(&flow("late")), pool.used()), (Asked::Full, (2, WAITING_IN_ALL)));
    }

    proptest! {
        /// Whatever comes and goes: nobody waits who may have a seat, nobody has more than they may, all are served.
        #[test]
        fn seats_are_neither_wasted_nor_lost(
            seats in 1_usize..9,
            steps in proptest::collection::vec((0_usize..5, 0_u8..4), 1..120),
        ) {
            let users = ["a", "b", "c", "system:x", "system:y"];
            let mut pool = Pool::new(seats);
            let mut held: Vec<Flow> = Vec::new();
            let mut waits: Vec<(Ticket, Flow)> = Vec::new();
            let grant = |tickets: Vec<Ticket>, held: &mut Vec<Flow>, waits: &mut Vec<(Ticket, Flow)>| {
                for ticket in tickets {
                    let at = waits.iter().position(|(other, _)| *other == ticket).unwrap();
                    // Within a flow it goes by the order of coming.
                    let (_, flow) = waits.remove(at);
                    assert!(waits.iter().all(|(other, of)| of.user != flow.user || *other > ticket));
                    held.push(flow);
                }
            };
            for (user, what) in steps {
                let flow = flow(users[user]);
                match what {
                    0 | 1 => match pool.ask(&flow) {
                        Asked::Seated => held.push(flow),
                        Asked::Waits(ticket) => waits.push((ticket, flow)),
                        Asked::Full => return Err(TestCaseError::fail("so few are never too many")),
                    },
                    2 => if !held.is_empty() {
                        let gone = held.remove(user % held.len());
                        let tickets = pool.leave(&gone);
                        grant(tickets, &mut held, &mut waits);
                    },
                    _ => if !waits.is_empty() {
                        let (ticket, flow) = waits.remove(user % waits.len());
                        pool.give_up(&flow, ticket);
                    },
                }
                let others = held.iter().filter(|flow| !flow.system).count();
                let count = |user: &str| held.iter().filter(|flow| &*flow.user == user).count();
                prop_assert_eq!(pool.used(), (held.len(), waits.len()));
                prop_assert!(held.len() <= seats && others <= seats - seats / KEPT);
                for user in users {
                    prop_assert!(count(user) <= seats.div_ceil(SHARE));
                }
                for (_, flow) in &waits {
                    prop_assert!(!pool.has_room(flow.system, count(&flow.user)), "{} could be served", flow.user);
                }
            }
            while let Some(flow) = held.pop() {
                let tickets = pool.leave(&flow);
                grant(tickets, &mut held, &mut waits);
            }
            prop_assert!(waits.is_empty() && pool.flows.is_empty());
        }
    }
}
