//! Scopes own memory: what is made inside one and not kept is freed at its end.
//! JavaScript has no destructors, so the trainer opens a scope around each step and users free nothing by hand.

use crate::autograd::{Node, Saved};
use crate::error::{Error, Result};
use crate::tensor::{Inner, Tensor};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::{Rc, Weak};

thread_local! {
    /// One list of the tensors made so far for each open scope, innermost last.
    static SCOPES: RefCell<Vec<Vec<Weak<Inner>>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn register(inner: &Rc<Inner>) {
    SCOPES.with(|scopes| {
        if let Some(innermost) = scopes.borrow_mut().last_mut() {
            innermost.push(Rc::downgrade(inner));
        }
    });
}

/// Opens a scope; returns its depth, which `exit` wants back.
pub fn enter() -> usize {
    SCOPES.with(|scopes| {
        scopes.borrow_mut().push(Vec::new());
        scopes.borrow().len()
    })
}

/// How many of the tensors made in the innermost scope are still in use.
pub fn alive() -> usize {
    SCOPES.with(|scopes| scopes.borrow().last().map_or(0, |made| made.iter().filter(|t| t.strong_count() > 0).count()))
}

/// Closes the scope of that depth (and any left open inside it) and frees what it made, except
/// `results` (they move to the surrounding scope), tensors that were kept, and what the graphs of those still need.
pub fn exit(depth: usize, results: &[Tensor]) -> Result<()> {
    let made: Vec<Weak<Inner>> = SCOPES.with(|scopes| {
        let mut scopes = scopes.borrow_mut();
        if depth == 0 || depth > scopes.len() {
            return Err(Error::Argument(format!("scope {depth} is not open; {} are", scopes.len())));
        }
        Ok(scopes.drain(depth - 1..).flatten().collect())
    })?;
    let alive: Vec<Rc<Inner>> = made.iter().filter_map(Weak::upgrade).collect();
    let mut needed = Needed::default();
    for tensor in results {
        needed.tensor(&tensor.inner);
    }
    let returned: HashSet<*const Inner> = results.iter().map(|t| Rc::as_ptr(&t.inner)).collect();
    for inner in alive.iter().filter(|inner| inner.kept.get()) {
        needed.tensor(inner);
    }
    for inner in &alive {
        if returned.contains(&Rc::as_ptr(inner)) {
            if !inner.kept.get() {
                register(inner);
            }
        } else if !needed.tensors.contains(&Rc::as_ptr(inner)) {
            inner.free();
        }
    }
    Ok(())
}

/// Everything that some tensors, and the backward passes through them, still need.
#[derive(Default)]
struct Needed {
    tensors: HashSet<*const Inner>,
    nodes: HashSet<*const Node>,
}

impl Needed {
    fn tensor(&mut self, inner: &Rc<Inner>) {
        if !self.tensors.insert(Rc::as_ptr(inner)) {
            return;
        }
        let mut stack: Vec<Rc<Node>> = inner.origin.borrow().iter().map(|(node, _)| node.clone()).collect();
        while let Some(node) = stack.pop() {
            if !self.nodes.insert(Rc::as_ptr(&node)) {
                continue;
            }
            for Saved { tensor, .. } in node.saved.borrow().iter().flatten() {
                self.tensors.insert(Rc::as_ptr(&tensor.inner));
            }
            for edge in &node.edges {
                stack.extend(edge.node());
                self.tensors.extend(edge.leaf().map(|leaf| Rc::as_ptr(&leaf.inner)));
            }
        }
        let grad = inner.grad.borrow().clone();
        if let Some(grad) = grad {
            self.tensor(&grad.inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Options, backward};
    use crate::dtype::DType;
    use crate::ops::elementwise::{exp_, mul, square};

    fn ones() -> Tensor {
        Tensor::full(&[3], 1.0, DType::F64).unwrap()
    }

    fn is_freed(t: &Tensor) -> bool {
        t.storage().err().is_some_and(|e| e.code() == "ERR_DISPOSED")
    }

    #[test]
    fn frees_what_is_not_kept() {
        let outside = ones();
        let depth = enter();
        let (left, result, kept) = (ones(), ones(), ones());
        kept.inner.kept.set(true);
        let inner_depth = enter();
        let inner = ones();
        let passed_on = ones();
        exit(inner_depth, std::slice::from_ref(&passed_on)).unwrap();
        assert!(is_freed(&inner) && !is_freed(&passed_on));
        exit(depth, std::slice::from_ref(&result)).unwrap();
        assert!(is_freed(&left) && is_freed(&passed_on));
        assert!(!is_freed(&outside) && !is_freed(&result) && !is_freed(&kept));
        let error = square(&left).unwrap_err();
        assert_eq!(error.code(), "ERR_DISPOSED");
        assert!(error.message().contains("[3]"), "{error}");
    }

    #[test]
    fn keeps_what_the_graph_of_a_result_needs() {
        let x = ones();
        x.set_requires_grad(true).unwrap();
        let depth = enter();
        let middle = exp_(&x).unwrap();
        let unused = exp_(&x).unwrap();
        let y = crate::ops::reduce::sum(&mul(&middle, &middle).unwrap(), None, false).unwrap();
        exit(depth, std::slice::from_ref(&y)).unwrap();
        assert!(is_freed(&unused));
        backward(&y, None, Options::default()).unwrap();
        let e2 = 2.0 * std::f64::consts::E.powi(2);
        assert!(x.grad().unwrap().to_vec::<f64>().unwrap().iter().all(|g| (g - e2).abs() < 1e-12));
    }

    #[test]
    fn gradients_of_tensors_outside_survive() {
        let x = ones();
        x.set_requires_grad(true).unwrap();
        for _ in 0..2 {
            let depth = enter();
            let y = crate::ops::reduce::sum(&square(&x).unwrap(), None, false).unwrap();
            backward(&y, None, Options::default()).unwrap();
            exit(depth, &[]).unwrap();
            assert!(is_freed(&y));
        }
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [4.0; 3]);
    }

    #[test]
    fn only_open_scopes_can_be_closed_and_inner_ones_close_with_them() {
        assert_eq!(exit(7, &[]).unwrap_err().code(), "ERR_ARGUMENT");
        assert_eq!(exit(0, &[]).unwrap_err().code(), "ERR_ARGUMENT");
        let depth = enter();
        enter();
        let inner = ones();
        assert_eq!(alive(), 1);
        exit(depth, &[]).unwrap();
        assert!(is_freed(&inner));
        assert_eq!(exit(depth, &[]).unwrap_err().code(), "ERR_ARGUMENT");
    }
}
