//! Which form of a kernel runs fastest on this adapter: tried once where it is worth it, and kept between processes.

use super::cache::Kept;
use super::context::{Gpu, lock};
use crate::error::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A trial lasts about as long, or one run if that is longer.
const TRIAL: Duration = Duration::from_millis(5);

/// Choices by what was tried.
pub(super) struct Tuned {
    file: Option<Kept>,
    choices: BTreeMap<String, usize>,
}

impl Tuned {
    pub fn new(file: Option<Kept>) -> Tuned {
        let choices = file.as_ref().and_then(Kept::read).map_or_else(BTreeMap::new, |bytes| parse(&bytes));
        Tuned { file, choices }
    }

    fn add(&mut self, class: &str, choice: usize) {
        self.choices.insert(class.to_string(), choice);
        let Some(file) = &self.file else { return };
        // Other processes may have tried other things since.
        let mut all = file.read().map_or_else(BTreeMap::new, |bytes| parse(&bytes));
        all.extend(self.choices.clone());
        let text: String = all.iter().map(|(class, choice)| format!("{choice} {class}\n")).collect();
        // What is not kept is tried again.
        let _ = file.write(text.as_bytes());
    }
}

fn parse(bytes: &[u8]) -> BTreeMap<String, usize> {
    let pair = |line: &str| line.split_once(' ').and_then(|(n, class)| Some((class.to_string(), n.parse().ok()?)));
    String::from_utf8_lossy(bytes).lines().filter_map(pair).collect()
}

impl Gpu {
    /// The number of the candidate that runs fastest, of so many; `class` names all that the answer may depend on. Not known yet,
    /// they are all run: `attempt` records one, and must leave the same result whichever it is. That waits for the GPU, once.
    pub fn fastest(&self, class: &str, candidates: usize, attempt: &dyn Fn(usize) -> Result<()>) -> Result<usize> {
        let known = lock(&self.tuned).choices.get(class).copied();
        if let Some(choice) = known.filter(|&choice| choice < candidates) {
            return Ok(choice);
        }
        self.wait()?;
        let timed = |candidate: usize, runs: u32| -> Result<Duration> {
            let start = Instant::now();
            for _ in 0..runs {
                attempt(candidate)?;
            }
            self.wait()?;
            Ok(start.elapsed() / runs)
        };
        let mut best = (Duration::MAX, 0);
        for candidate in 0..candidates {
            timed(candidate, 1)?; // compiles it
            let once = timed(candidate, 1)?;
            let runs = (TRIAL.as_nanos() / once.as_nanos().max(1)).clamp(1, 50) as u32;
            let time = if runs > 1 { timed(candidate, runs)?.min(timed(candidate, runs)?) } else { once };
            best = best.min((time, candidate));
        }
        lock(&self.tuned).add(class, best.1);
        Ok(best.1)
    }
}
