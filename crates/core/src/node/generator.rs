//! Random number generators in JavaScript: a seed, a stream and a position, all of which a checkpoint can store.

use super::Result;
use crate::random::Philox;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use std::cell::RefCell;

/// Where a generator stands.
#[napi(object)]
pub struct GeneratorState {
    pub seed: BigInt,
    pub stream: BigInt,
    /// Words of 32 bits drawn so far.
    pub position: BigInt,
}

/// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): the same on every device and thread count.
#[napi]
pub struct Generator {
    philox: RefCell<Philox>,
}

#[napi]
impl Generator {
    /// Stream `stream` (default 0) of `seed` (a whole number from 0 to 2⁵³).
    #[napi(constructor)]
    pub fn new(seed: f64, stream: Option<f64>) -> Result<Generator> {
        let stream = stream.unwrap_or(0.0);
        for (name, value) in [("seed", seed), ("stream", stream)] {
            crate::ensure!(
                (0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0,
                Argument,
                "Generator: {name} {value} is not a whole number from 0 to 2^53"
            );
        }
        Ok(Generator { philox: RefCell::new(Philox::new(seed as u64, stream as u64)) })
    }

    /// Where it stands: with `setState` the same numbers come again.
    #[napi]
    pub fn get_state(&self) -> GeneratorState {
        let (seed, stream, position) = self.philox.borrow().state();
        GeneratorState { seed: seed.into(), stream: stream.into(), position: position.into() }
    }

    /// Continues where `state` was taken.
    #[napi]
    pub fn set_state(&self, state: GeneratorState) {
        let mut philox = Philox::new(state.seed.get_u64().1, state.stream.get_u64().1);
        philox.set_position(state.position.get_u64().1);
        *self.philox.borrow_mut() = philox;
    }

    /// A uniform number in [0, 1) with 53 random bits.
    #[napi]
    pub fn uniform(&self) -> f64 {
        self.philox.borrow_mut().uniform_f64()
    }

    /// A whole number in [0, n), each equally likely.
    #[napi]
    pub fn integer(&self, n: u32) -> Result<u32> {
        crate::ensure!(n > 0, Argument, "integer: there is no whole number in [0, 0)");
        Ok(self.philox.borrow_mut().below(n as u64) as u32)
    }

    /// 0..n in a random order.
    #[napi]
    pub fn permutation(&self, n: u32) -> Vec<u32> {
        self.philox.borrow_mut().permutation(n as usize).into_iter().map(|i| i as u32).collect()
    }
}

impl Generator {
    pub(crate) fn with<R>(&self, draw: impl FnOnce(&mut Philox) -> R) -> R {
        draw(&mut self.philox.borrow_mut())
    }
}
