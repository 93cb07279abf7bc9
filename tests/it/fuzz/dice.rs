//! A small generator of chance: the same seed gives the same run on every machine.

/// SplitMix64.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// The throws of one case of a run.
    pub fn of(seed: u64, case: u64) -> Dice {
        let mut dice = Dice(seed ^ case.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A number around a limit, mostly near it.
    pub fn around(&mut self, limit: usize) -> usize {
        match self.below(10) {
            0 => limit * 20,
            1 => limit / 2,
            2 => limit * 2,
            _ => (limit + self.below(5)).saturating_sub(2),
        }
    }
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "admin",
    "mql",
    "test",
    "INQUIRY",
    "a@example.test",
    "2026-02-30",
    "2026-03-01T00:00:00Z",
    "-1",
    "9223372036854775807",
    "1e400",
    "NaN",
    "null",
    "\u{0}",
    "\u{7f}\u{1b}[31m",
    "\u{202e}\u{200d}\u{feff}",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "Z\u{351}\u{36b}\u{343}",
    "\u{10ffff}",
    "'; drop table lead; --",
    "%%%___",
    "\\",
    "\"\"\"",
    "\r\n\r\n",
    "../../etc/passwd",
    "TGVhZDowMWEyMTdiNi02NGFkLTcyYmQtYTU2OC02NjA2OWJkNzE0MzY",
    "01a217bd-0000-7000-8000-000000000000",
    "[object Object]",
];

/// A text that somebody could mean, or nobody.
pub fn text(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => "x".repeat(dice.around(64)),
        1 => "ü\u{1f4a9}".repeat(dice.below(40)),
        2 => (0..dice.below(20)).filter_map(|_| char::from_u32(dice.below(0x11_0000) as u32)).collect(),
        3 if dice.percent(10) => "y".repeat(dice.around(65_536).min(200_000)),
        _ => (*dice.pick(TEXTS)).to_owned(),
    }
}

/// Bytes that differ from good ones here and there.
pub fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"\\u0000",
        b"\"\"\"",
        b"...",
        b"$",
        b"@",
        b"!",
        b":",
        b"#",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"null",
        b"-",
        b"1e999",
        b"99999999999999999999",
        b"fragment A on Query{...A}",
        b"query",
        b"{a}",
        b",",
        b"=",
        b"|",
        b"&",
    ];
    for _ in 0..dice.between(1, 8) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(24)).min(bytes.len());
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece: Vec<u8> = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            3 if dice.percent(20) => bytes.truncate(at),
            _ => {
                let piece = *dice.pick(PIECES);
                let times = if dice.percent(5) { dice.around(40) } else { 1 };
                drop(bytes.splice(at..at, piece.repeat(times)));
            }
        }
    }
}
