//! Chance with a seed: the same seed makes the same company. SplitMix64, since nothing here needs more.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, and without, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From `from` up to, and without, `to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// From `from` up to `to`, both included.
    pub fn whole(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1).unsigned_abs()) as i64
    }

    /// Around 0, between -1 and 1, most often near 0.
    pub fn bell(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit()) / 1.5 - 1.0
    }

    /// Waiting time with this mean.
    pub fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[(self.next() % list.len() as u64) as usize]
    }

    /// One of the list, the more often the higher its weight.
    pub fn weighted<'a, T>(&mut self, list: &'a [T], weight: impl Fn(&T) -> f64) -> &'a T {
        let mut left = self.unit() * list.iter().map(&weight).sum::<f64>();
        for one in list {
            left -= weight(one);
            if left < 0.0 {
                return one;
            }
        }
        &list[list.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers_and_they_stay_in_their_bounds() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..10_000 {
            assert_eq!(a.unit().to_bits(), b.unit().to_bits());
            assert!((-1.0..=1.0).contains(&a.bell()) && (-1.0..=1.0).contains(&b.bell()));
            assert!((2..=5).contains(&a.whole(2, 5)) && (2..=5).contains(&b.whole(2, 5)));
        }
    }

    #[test]
    fn weights_are_kept_on_average() {
        let (mut random, list) = (Random::new(3), [("often", 3.0), ("seldom", 1.0)]);
        let often = (0..10_000).filter(|_| random.weighted(&list, |one| one.1).0 == "often").count();
        assert!((7_300..7_700).contains(&often), "{often}");
    }
}
