//! Reverse-mode automatic differentiation: the graph, the walk back through it, and the switches around them.
//! It knows no operation: each brings its own backward pass.

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Op, Pass, guard};
use crate::ops;
use crate::profile;
use crate::shape::Dims;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// One operation that was run, with what its backward pass needs.
pub struct Node {
    op: Box<dyn Op>,
    /// One an input.
    pub(crate) edges: Vec<Edge>,
    /// None once a backward pass has used it up.
    pub(crate) saved: RefCell<Option<Vec<Saved>>>,
    outputs: Vec<(Dims, DType)>,
    /// Counts up: an operation always comes after those that made its inputs.
    order: u64,
}

/// A value kept for the backward pass.
pub struct Saved {
    pub(crate) tensor: Tensor,
    /// Which result of the operation it is, if it is one.
    pub(crate) result: Option<usize>,
    /// The version of its storage when it was kept.
    pub(crate) version: u64,
}

/// Where the gradient of an input goes.
pub enum Edge {
    /// Nowhere.
    None,
    /// Into `.grad` of a tensor that the user made.
    Leaf(Tensor),
    /// To result number `.1` of an earlier operation.
    Node(Rc<Node>, usize),
}

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
    static ORDER: Cell<u64> = const { Cell::new(0) };
}

/// Whether operations are recorded.
pub fn is_enabled() -> bool {
    ENABLED.get()
}

/// Switches recording on or off; returns what it was.
pub fn set_enabled(enabled: bool) -> bool {
    ENABLED.replace(enabled)
}

/// Runs without recording.
pub fn no_grad<R>(run: impl FnOnce() -> R) -> R {
    with_enabled(false, run)
}

fn with_enabled<R>(enabled: bool, run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENABLED.set(self.0);
        }
    }
    let _restore = Restore(set_enabled(enabled));
    run()
}

/// What to do with the graph on the way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keep what was saved, for a second walk.
    pub retain_graph: bool,
    /// Record the backward pass itself, for gradients of gradients. Implies `retain_graph`.
    pub create_graph: bool,
}

/// Adds d(root)/d(leaf), weighted by `gradient` (1 for a scalar root), to the `.grad` of every leaf below `root`.
pub fn backward(root: &Tensor, gradient: Option<&Tensor>, options: Options) -> Result<()> {
    ensure!(
        root.requires_grad(),
        Autograd,
        "backward: this tensor of shape {:?} depends on nothing that requires a gradient",
        root.shape()
    );
    let seed = match gradient {
        Some(g) => {
            ensure!(
                g.shape() == root.shape() && g.dtype() == root.dtype(),
                Shape,
                "backward: the gradient is {:?} {}, the tensor {:?} {}",
                g.shape(),
                g.dtype().name(),
                root.shape(),
                root.dtype().name()
            );
            let (own, other) = (root.device()?, g.device()?);
            ensure!(own == other, Device, "backward: the gradient is on {other:?}, the tensor on {own:?}");
            g.clone()
        }
        None => {
            ensure!(
                root.numel() == 1,
                Shape,
                "backward: a tensor of shape {:?} needs a gradient argument; only a scalar does without",
                root.shape()
            );
            Tensor::full_on(&root.device()?, root.shape(), 1.0, root.dtype())?
        }
    };
    profile::backward(|| with_enabled(options.create_graph, || walk(root, seed, options)))
}

fn walk(root: &Tensor, seed: Tensor, options: Options) -> Result<()> {
    // Nodes waiting for their turn, by order: the last one has all its gradients, since all its users ran later.
    let mut waiting: BTreeMap<u64, Rc<Node>> = BTreeMap::new();
    let mut gradients: HashMap<u64, Vec<Option<Tensor>>> = HashMap::new();
    let send = |edge: &Edge,
                gradient: Tensor,
                waiting: &mut BTreeMap<u64, Rc<Node>>,
                gradients: &mut HashMap<u64, Vec<Option<Tensor>>>| match edge {
        Edge::None => Ok(()),
        Edge::Leaf(leaf) => accumulate(leaf, gradient),
        Edge::Node(node, result) => {
            waiting.entry(node.order).or_insert_with(|| node.clone());
            let slots = gradients.entry(node.order).or_insert_with(|| vec![None; node.outputs.len()]);
            slots[*result] = Some(match slots[*result].take() {
                Some(sum) => ops::elementwise::add(&sum, &gradient)?,
                None => gradient,
            });
            Ok(())
        }
    };
    send(&Edge::to(root), seed, &mut waiting, &mut gradients)?;
    while let Some((order, node)) = waiting.pop_last() {
        let grads = gradients.remove(&order).expect("a waiting node was sent a gradient");
        let saved = node.unpack(&options)?;
        let pass = Pass { saved: &saved, grads: &grads, edges: &node.edges };
        // What a backward pass makes is made where the gradient is.
        let device = grads.iter().flatten().next().map_or(Ok(Device::Cpu), |g| g.device())?;
        let inputs = device.scoped(|| node.timed(&pass))?;
        ensure!(
            inputs.len() == node.edges.len(),
            Internal,
            "{}: {} gradients for {} inputs",
            node.op.name(),
            inputs.len(),
            node.edges.len()
        );
        drop((saved, grads));
        for (edge, gradient) in node.edges.iter().zip(inputs) {
            let Some(gradient) = gradient else { continue };
            edge.check(node.op.name(), &gradient)?;
            send(edge, gradient, &mut waiting, &mut gradients)?;
        }
    }
    Ok(())
}

/// Adds to `.grad` of a leaf. The stored gradient owns its memory: nothing else may change it.
fn accumulate(leaf: &Tensor, gradient: Tensor) -> Result<()> {
    let sum = match leaf.grad() {
        Some(sum) => ops::elementwise::add(&sum, &gradient)?,
        None => {
            let alone = Rc::strong_count(&gradient.inner) == 1
                && gradient.layout().is_dense()
                && Arc::strong_count(&gradient.storage()?) == 2;
            if alone || is_enabled() { gradient } else { ops::movement::copy(&gradient)? }
        }
    };
    leaf.set_grad(Some(sum))
}

impl Edge {
    /// The edge along which a gradient of this tensor travels.
    pub(crate) fn to(tensor: &Tensor) -> Edge {
        match &*tensor.inner.origin.borrow() {
            Some((node, result)) => Edge::Node(node.clone(), *result),
            None if tensor.requires_grad() => Edge::Leaf(tensor.clone()),
            None => Edge::None,
        }
    }

    pub(crate) fn node(&self) -> Option<Rc<Node>> {
        match self {
            Edge::Node(node, _) => Some(node.clone()),
            _ => None,
        }
    }

    pub(crate) fn leaf(&self) -> Option<&Tensor> {
        match self {
            Edge::Leaf(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The shape of the value at its end; that of a number where no gradient goes and nothing is known.
    fn shape(&self) -> &[usize] {
        match self {
            Edge::None => &[],
            Edge::Leaf(leaf) => leaf.shape(),
            Edge::Node(node, result) => &node.outputs[*result].0,
        }
    }

    /// A gradient has the shape and type of its value, or the operation's backward pass is wrong.
    fn check(&self, op: &str, gradient: &Tensor) -> Result<()> {
        let (shape, dtype) = match self {
            Edge::None => return Ok(()),
            Edge::Leaf(leaf) => (leaf.shape(), leaf.dtype()),
            Edge::Node(node, result) => (&node.outputs[*result].0[..], node.outputs[*result].1),
        };
        ensure!(
            gradient.shape() == shape && gradient.dtype() == dtype,
            Internal,
            "{op}: its backward pass gave a gradient {:?} {} for an input {shape:?} {}",
            gradient.shape(),
            gradient.dtype().name(),
            dtype.name()
        );
        Ok(())
    }
}

impl Node {
    pub(crate) fn new(op: Box<dyn Op>, edges: Vec<Edge>, saved: Vec<Saved>, outputs: Vec<(Dims, DType)>) -> Rc<Node> {
        let order = ORDER.replace(ORDER.get() + 1);
        Rc::new(Node { op, edges, saved: RefCell::new(Some(saved)), outputs, order })
    }

    /// The backward pass, seen by the profile.
    fn timed(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let name = self.op.name();
        let run = || {
            if profile::is_on() {
                let shapes: Vec<&[usize]> = self.edges.iter().map(Edge::shape).collect();
                profile::count_operations(self.op.backward_operations(&shapes));
            }
            guard(name, || self.op.backward(pass))
        };
        let shapes = |text: &mut String| self.edges.iter().for_each(|edge| profile::write_shape(text, edge.shape()));
        let read: Vec<&Tensor> = pass.saved.iter().chain(pass.grads.iter().flatten()).collect();
        let traffic = |result: &Result<Vec<Option<Tensor>>>| {
            result.as_ref().map_or(0, |gradients| profile::bytes_of(&read, gradients.iter().flatten()))
        };
        profile::time(name, profile::Phase::Backward, shapes, run, traffic)
    }

    /// The saved values, each checked to be what it was.
    fn unpack(self: &Rc<Node>, options: &Options) -> Result<Vec<Tensor>> {
        let keep = options.retain_graph || options.create_graph;
        let mut slot = self.saved.borrow_mut();
        let Some(saved) = slot.as_ref() else {
            bail!(
                Autograd,
                "backward through {} a second time: its saved values were freed by the first; \
                 call backward(…, {{ retainGraph: true }}) the first time",
                self.op.name()
            )
        };
        let mut tensors = Vec::with_capacity(saved.len());
        for Saved { tensor, result, version } in saved {
            let now = tensor.storage()?.version();
            ensure!(
                now == *version,
                Autograd,
                "a value of shape {:?} that {} needs for its gradient was changed in place since \
                 (version {version} then, {now} now); clone() it before the change",
                tensor.shape(),
                self.op.name()
            );
            match result {
                Some(index) if options.create_graph => {
                    let whole = tensor.detach()?;
                    *whole.inner.origin.borrow_mut() = Some((self.clone(), *index));
                    whole.inner.requires_grad.set(true);
                    tensors.push(whole);
                }
                _ => tensors.push(tensor.clone()),
            }
        }
        if !keep {
            *slot = None;
        }
        Ok(tensors)
    }
}

impl Drop for Node {
    /// Long chains are taken apart in a loop; one call a link would overflow the stack.
    fn drop(&mut self) {
        let mut edges = std::mem::take(&mut self.edges);
        self.saved.borrow_mut().take();
        while let Some(edge) = edges.pop() {
            if let Edge::Node(node, _) = edge
                && let Ok(mut node) = Rc::try_unwrap(node)
            {
                // Its parents are held by `edges` while its saved values go, so nothing recurses.
                edges.append(&mut node.edges);
                node.saved.borrow_mut().take();
            }
        }
    }
}

#[cfg(test)]
mod tests;
