//! Random numbers by counting: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//! Not a stateful generator that must be run through from its start: every number is a function of its position.
//!
//! A sequence is named by `(seed, stream)`; word `p` of it is lane `p % 4` of
//! `philox(counter = [p/4 low, p/4 high, stream low, stream high], key = [seed low, seed high])`.
//! So `(seed, stream, position)` is the whole state (twenty-four bytes of a checkpoint), any part of a tensor can be filled
//! by any thread, and a GPU gives the same bits: words and uniform floats need 32-bit integers, one shift and one exact
//! multiplication by a power of two. Normal numbers go through `ln` and `cos` and agree between devices to rounding only.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

/// Blocks that `fill_words` computes side by side, so that the compiler can keep each counter word in one vector register.
const BLOCKS: usize = 8;
const WORDS: usize = 4 * BLOCKS;

const TWO_POW_MINUS_24: f32 = 1.0 / 16_777_216.0;
const TWO_POW_MINUS_53: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A reader of one sequence, standing at a position. Two readers with equal `state()` give the same numbers.
#[derive(Clone, Debug)]
pub struct Philox {
    seed: u64,
    stream: u64,
    position: u64,
    /// Words of block `position / 4`, valid while `position % 4 != 0`.
    block: [u32; 4],
}

impl Philox {
    /// Sequence `stream` of `seed`, at position 0.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, position: 0, block: [0; 4] }
    }

    /// A sequence of its own for `(index, first, second)` under `seed`, for instance (sample, epoch, view).
    /// The cipher is a bijection of its counter, so different triples never share a sequence under one seed.
    pub fn derived(seed: u64, index: u64, first: u32, second: u32) -> Self {
        let word = philox([index as u32, (index >> 32) as u32, first, second], split(seed));
        Self::new(join(word[0], word[1]), join(word[2], word[3]))
    }

    /// `(seed, stream, position)`: what a checkpoint stores.
    pub fn state(&self) -> (u64, u64, u64) {
        (self.seed, self.stream, self.position)
    }

    /// Number of words read so far (the place of the next one).
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Continues at word `position` of the same sequence.
    pub fn set_position(&mut self, position: u64) {
        self.position = position;
        if !position.is_multiple_of(4) {
            self.block = block(self.seed, self.stream, position / 4);
        }
    }

    /// The next 32 bits. One word.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        let lane = (self.position % 4) as usize;
        if lane == 0 {
            self.block = block(self.seed, self.stream, self.position / 4);
        }
        self.position = self.position.wrapping_add(1);
        self.block[lane]
    }

    /// The next 64 bits, low half first. Two words.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let low = self.next_u32();
        join(low, self.next_u32())
    }

    /// Uniform in [0, 1), a multiple of 2^-24. One word.
    #[inline]
    pub fn uniform(&mut self) -> f32 {
        uniform_from(self.next_u32())
    }

    /// Uniform in [0, 1), a multiple of 2^-53. Two words.
    #[inline]
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * TWO_POW_MINUS_53
    }

    /// Uniform in [low, high) up to rounding; `low` when both are equal. Two words.
    #[inline]
    pub fn uniform_between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform_f64()
    }

    /// Normal with mean 0 and variance 1 (Box and Muller 1958, the cosine half). Two words; |value| < 5.8.
    #[inline]
    pub fn normal(&mut self) -> f32 {
        let first = self.next_u32();
        normal_from(first, self.next_u32())
    }

    /// Uniform integer in 0..n without bias (Lemire 2019). One word per try (two where n > 2^32), rarely more than one try.
    ///
    /// # Panics
    /// If `n` is 0: there is no such integer.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a random integer below 0 does not exist");
        if n <= u64::from(u32::MAX) {
            let limit = n as u32;
            let threshold = limit.wrapping_neg() % limit;
            loop {
                let product = u64::from(self.next_u32()) * n;
                if product as u32 >= threshold {
                    return product >> 32;
                }
            }
        }
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// True with probability `p` (never for p <= 0, always for p >= 1). Two words.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform_f64() < p
    }

    /// Puts `items` in a random order, each of the n! orders equally likely (Fisher and Yates, from the last to the first).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// Fills with `uniform()` and advances by one word an element.
    pub fn fill_uniform(&mut self, out: &mut [f32]) {
        fill_uniform(out, self.seed, self.stream, self.position);
        self.set_position(self.position.wrapping_add(out.len() as u64));
    }

    /// Fills with `normal()` and advances by two words an element.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        fill_normal(out, self.seed, self.stream, self.position);
        self.set_position(self.position.wrapping_add(2 * out.len() as u64));
    }
}

/// `out[i]` = word `position + i` of sequence (seed, stream). Parts of an array filled apart equal the whole filled at once.
pub fn fill_words(out: &mut [u32], seed: u64, stream: u64, position: u64) {
    each_words(out.len(), seed, stream, position, |at, words| out[at..at + words.len()].copy_from_slice(words));
}

/// `out[i]` = uniform number in [0, 1) from word `position + i`.
pub fn fill_uniform(out: &mut [f32], seed: u64, stream: u64, position: u64) {
    each_words(out.len(), seed, stream, position, |at, words| {
        for (value, &word) in out[at..].iter_mut().zip(words) {
            *value = uniform_from(word);
        }
    });
}

/// `out[i]` = uniform number in [0, 1) from words `position + 2i` and `position + 2i + 1`.
pub fn fill_uniform_f64(out: &mut [f64], seed: u64, stream: u64, position: u64) {
    each_pair(out.len(), seed, stream, position, |i, low, high| {
        out[i] = (join(low, high) >> 11) as f64 * TWO_POW_MINUS_53;
    });
}

/// `out[i]` = normal number from words `position + 2i` and `position + 2i + 1`.
pub fn fill_normal(out: &mut [f32], seed: u64, stream: u64, position: u64) {
    each_pair(out.len(), seed, stream, position, |i, first, second| out[i] = normal_from(first, second));
}

/// The cipher itself: ten rounds on a 128-bit counter under a 64-bit key.
#[inline]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(MULTIPLIER_0) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIER_1) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL_0), key[1].wrapping_add(WEYL_1)];
    }
    counter
}

fn block(seed: u64, stream: u64, number: u64) -> [u32; 4] {
    let (low, high) = (split(number), split(stream));
    philox([low[0], low[1], high[0], high[1]], split(seed))
}

/// `BLOCKS` consecutive blocks: `words[4b + lane]` is lane `lane` of block `number + b`.
fn blocks(seed: u64, stream: u64, number: u64, words: &mut [u32; WORDS]) {
    let high = split(stream);
    let mut key = split(seed);
    let mut counter = [[0u32; BLOCKS], [0; BLOCKS], [high[0]; BLOCKS], [high[1]; BLOCKS]];
    for b in 0..BLOCKS {
        [counter[0][b], counter[1][b]] = split(number.wrapping_add(b as u64));
    }
    for _ in 0..ROUNDS {
        let [c0, c1, c2, c3] = counter;
        for b in 0..BLOCKS {
            let first = u64::from(MULTIPLIER_0) * u64::from(c0[b]);
            let second = u64::from(MULTIPLIER_1) * u64::from(c2[b]);
            counter[0][b] = (second >> 32) as u32 ^ c1[b] ^ key[0];
            counter[1][b] = second as u32;
            counter[2][b] = (first >> 32) as u32 ^ c3[b] ^ key[1];
            counter[3][b] = first as u32;
        }
        key = [key[0].wrapping_add(WEYL_0), key[1].wrapping_add(WEYL_1)];
    }
    for b in 0..BLOCKS {
        for lane in 0..4 {
            words[4 * b + lane] = counter[lane][b];
        }
    }
}

/// Hands words `position .. position + count` to `take(at, words)`, a run at a time.
fn each_words(count: usize, seed: u64, stream: u64, position: u64, mut take: impl FnMut(usize, &[u32])) {
    let mut words = [0u32; WORDS];
    let mut at = 0;
    while at < count {
        let place = position.wrapping_add(at as u64);
        let skip = (place % 4) as usize;
        blocks(seed, stream, place / 4, &mut words);
        let run = (WORDS - skip).min(count - at);
        take(at, &words[skip..skip + run]);
        at += run;
    }
}

/// Hands words `position + 2i`, `position + 2i + 1` to `take(i, first, second)` for i in 0..count.
fn each_pair(count: usize, seed: u64, stream: u64, position: u64, mut take: impl FnMut(usize, u32, u32)) {
    let mut pending = None;
    let mut i = 0;
    each_words(2 * count, seed, stream, position, |_, words| {
        for &word in words {
            match pending.take() {
                None => pending = Some(word),
                Some(first) => {
                    take(i, first, word);
                    i += 1;
                }
            }
        }
    });
}

#[inline]
fn uniform_from(word: u32) -> f32 {
    (word >> 8) as f32 * TWO_POW_MINUS_24
}

#[inline]
fn normal_from(first: u32, second: u32) -> f32 {
    // In (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (((first >> 8) + 1) as f32 * TWO_POW_MINUS_24).ln()).sqrt();
    radius * (std::f32::consts::TAU * uniform_from(second)).cos()
}

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

#[cfg(test)]
mod tests;
