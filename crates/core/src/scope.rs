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
