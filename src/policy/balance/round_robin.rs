//! Round robin: one after the other, each as often as the others.
//!
//! Its rivals react to load. This one needs to know nothing of the endpoints, and is as good as any where they
//! are alike and requests are small; a slow endpoint gets its full share all the same.

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    /// Taken modulo the number of endpoints, which may differ from one call to the next.
    next: usize,
}

impl RoundRobin {
    /// Begins with endpoint `start` (modulo their number). Workers begin at different ones, so that the first
    /// requests after a start do not all meet at endpoint 0.
    pub fn new(start: usize) -> RoundRobin {
        RoundRobin { next: start }
    }

    /// The endpoint whose turn it is, below `endpoints`; never `tried`.
    ///
    /// `tried` is the one that has just failed this request, if this is its second attempt. `None` if there is
    /// nobody left: no endpoints, or only the one that was tried.
    pub fn pick(&mut self, endpoints: usize, tried: Option<usize>) -> Option<usize> {
        if endpoints == 0 {
            return None;
        }
        let mut picked = self.next % endpoints;
        if Some(picked) == tried {
            picked = (picked + 1) % endpoints;
            if Some(picked) == tried {
                return None;
            }
        }
        self.next = picked + 1;
        Some(picked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn one_after_the_other() {
        //    start  endpoints  tried     picked
        check(0,     0,         None,     &[None, None]);
        check(0,     1,         None,     &[Some(0), Some(0)]);
        check(0,     1,         Some(0),  &[None, None]);
        check(0,     3,         None,     &[Some(0), Some(1), Some(2), Some(0)]);
        check(2,     3,         None,     &[Some(2), Some(0), Some(1)]);
        check(7,     3,         None,     &[Some(1), Some(2), Some(0)]);
        check(0,     3,         Some(0),  &[Some(1), Some(2), Some(1)]);
        check(0,     3,         Some(2),  &[Some(0), Some(1), Some(0)]);
        check(0,     2,         Some(1),  &[Some(0), Some(0)]);
        check(0,     2,         Some(9),  &[Some(0), Some(1)]);
        check(usize::MAX, 2,    None,     &[Some(1), Some(0)]);
    }

    #[track_caller]
    fn check(start: usize, endpoints: usize, tried: Option<usize>, expected: &[Option<usize>]) {
        let mut policy = RoundRobin::new(start);
        for &picked in expected {
            assert_eq!(policy.pick(endpoints, tried), picked);
        }
    }

    #[test]
    fn shares_are_equal() {
        for endpoints in 1..=7 {
            let mut policy = RoundRobin::new(3);
            let mut shares = vec![0; endpoints];
            for _ in 0..endpoints * 100 {
                let picked = policy.pick(endpoints, None).expect("there are endpoints");
                shares[picked] += 1;
            }
            assert!(shares.iter().all(|&share| share == 100), "{shares:?}");
        }
    }

    #[test]
    fn survives_a_change_of_the_number_of_endpoints() {
        let mut policy = RoundRobin::new(0);
        for endpoints in [5, 5, 5, 5, 2, 1, 0, 3, 8, 1] {
            let picked = policy.pick(endpoints, None);
            assert_eq!(picked.is_some(), endpoints > 0);
            assert!(picked.is_none_or(|picked| picked < endpoints));
        }
    }

    #[test]
    fn the_tried_one_is_never_picked() {
        for endpoints in 0..=5 {
            for tried in 0..5 {
                for start in 0..10 {
                    let mut policy = RoundRobin::new(start);
                    for _ in 0..10 {
                        assert_ne!(policy.pick(endpoints, Some(tried)), Some(tried));
                    }
                }
            }
        }
    }
}
