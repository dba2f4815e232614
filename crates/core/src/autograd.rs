//! Reverse-mode automatic differentiation: the graph, the walk back through it, and the switches around them.
//! It knows no operation: each brings its own backward pass.

use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Op, Pass, guard};
use crate::ops;
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
            g.clone()
        }
        None => {
            ensure!(
                root.numel() == 1,
                Shape,
                "backward: a tensor of shape {:?} needs a gradient argument; only a scalar does without",
                root.shape()
            );
            Tensor::full(root.shape(), 1.0, root.dtype())?
        }
    };
    with_enabled(options.create_graph, || walk(root, seed, options))
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
        let inputs = guard(node.op.name(), || node.op.backward(&pass))?;
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
mod tests {
    use super::*;
    use crate::ops::elementwise::{add, add_scalar, exp_, mul, mul_scalar, square};
    use crate::ops::movement::{expand, reshape, to_dtype};
    use crate::ops::reduce::sum;

    fn leaf(values: &[f64]) -> Tensor {
        let x = Tensor::from_slice(values, &[values.len()]).unwrap();
        x.set_requires_grad(true).unwrap();
        x
    }

    fn grad(x: &Tensor) -> Vec<f64> {
        x.grad().expect("a gradient").to_vec().unwrap()
    }

    fn total(x: &Tensor) -> Tensor {
        sum(x, None, false).unwrap()
    }

    #[test]
    fn a_value_used_twice_gets_both_gradients() {
        let x = leaf(&[2.0, 3.0]);
        let y = square(&x).unwrap();
        backward(&total(&mul(&y, &add(&y, &x).unwrap()).unwrap()), None, Options::default()).unwrap();
        // d/dx (x⁴ + x³)
        assert_eq!(grad(&x), [4.0 * 8.0 + 3.0 * 4.0, 4.0 * 27.0 + 3.0 * 9.0]);
    }

    #[test]
    fn gradients_accumulate_until_they_are_taken_away() {
        let x = leaf(&[1.0, 2.0]);
        for _ in 0..3 {
            backward(&total(&mul_scalar(&x, 2.0).unwrap()), None, Options::default()).unwrap();
        }
        assert_eq!(grad(&x), [6.0, 6.0]);
        x.set_grad(None).unwrap();
        assert!(x.grad().is_none());
    }

    #[test]
    fn stored_gradients_share_memory_with_nothing() {
        let (a, b) = (leaf(&[1.0, 2.0]), leaf(&[3.0, 4.0]));
        let seed = Tensor::from_slice(&[1.0, 1.0], &[2]).unwrap();
        backward(&add(&a, &b).unwrap(), Some(&seed), Options::default()).unwrap();
        let c = leaf(&[5.0, 6.0]);
        backward(&c, Some(&seed), Options::default()).unwrap();
        let d = leaf(&[5.0, 6.0]);
        backward(&total(&reshape(&expand(&d, &[3, 2]).unwrap(), &[-1]).unwrap()), None, Options::default()).unwrap();
        a.grad().unwrap().update::<f64, _>(|g| g.fill(100.0)).unwrap();
        assert_eq!((grad(&b), grad(&c), grad(&d)), (vec![1.0, 1.0], vec![1.0, 1.0], vec![3.0, 3.0]));
        assert_eq!(seed.to_vec::<f64>().unwrap(), [1.0, 1.0]);
        d.grad().unwrap().update::<f64, _>(|g| g.fill(7.0)).unwrap();
    }

    #[test]
    fn nothing_is_recorded_without_gradients() {
        let x = leaf(&[1.0]);
        let y = no_grad(|| square(&x).unwrap());
        assert!(!y.requires_grad() && is_enabled());
        assert!(!square(&x.detach().unwrap()).unwrap().requires_grad());
        let error = backward(&y, None, Options::default()).unwrap_err();
        assert_eq!(error.code(), "ERR_AUTOGRAD");
        // Recording comes back after a panic too.
        let _ = std::panic::catch_unwind(|| no_grad(|| panic!("on purpose")));
        assert!(is_enabled());
    }

    #[test]
    fn a_second_walk_needs_the_graph_to_be_kept() {
        let x = leaf(&[2.0]);
        let y = square(&x).unwrap();
        let keep = Options { retain_graph: true, create_graph: false };
        backward(&y, None, keep).unwrap();
        backward(&y, None, Options::default()).unwrap();
        assert_eq!(grad(&x), [8.0]);
        let error = backward(&y, None, Options::default()).unwrap_err();
        assert_eq!(error.code(), "ERR_AUTOGRAD");
        assert!(error.message().contains("square") && error.message().contains("retainGraph"), "{error}");
    }

    #[test]
    fn a_saved_value_that_was_overwritten_is_noticed() {
        let x = leaf(&[2.0]);
        let y = mul(&x, &x).unwrap();
        x.update::<f64, _>(|v| v[0] = 5.0).unwrap();
        let error = backward(&y, None, Options::default()).unwrap_err();
        assert_eq!(error.code(), "ERR_AUTOGRAD");
        assert!(error.message().contains("in place"), "{error}");
        // A view has the storage, hence the version, of what it looks at.
        let x = leaf(&[2.0, 3.0]);
        let y = exp_(&reshape(&x, &[2, 1]).unwrap()).unwrap();
        let z = square(&reshape(&x, &[2, 1]).unwrap()).unwrap();
        x.update::<f64, _>(|v| v[0] = 5.0).unwrap();
        assert!(backward(&total(&y), None, Options::default()).is_ok(), "exp needs its result only");
        assert!(backward(&total(&z), None, Options::default()).is_err());
    }

    #[test]
    fn gradients_of_gradients() {
        let x = leaf(&[2.0, -1.0]);
        let y = mul(&mul(&x, &x).unwrap(), &x).unwrap();
        let graph = Options { create_graph: true, ..Options::default() };
        backward(&total(&y), None, graph).unwrap();
        let first = x.grad().unwrap();
        x.set_grad(None).unwrap();
        assert_eq!(first.to_vec::<f64>().unwrap(), [12.0, 3.0]);
        // Third: 6x, then 6.
        backward(&total(&first), None, graph).unwrap();
        let second = x.grad().unwrap();
        x.set_grad(None).unwrap();
        assert_eq!(second.to_vec::<f64>().unwrap(), [12.0, -6.0]);
        backward(&total(&second), None, Options::default()).unwrap();
        assert_eq!(grad(&x), [6.0, 6.0]);
    }

    #[test]
    fn gradients_go_through_conversions() {
        let x = leaf(&[2.0, 3.0]);
        let y = to_dtype(&square(&to_dtype(&x, DType::F32).unwrap()).unwrap(), DType::F64).unwrap();
        backward(&total(&y), None, Options::default()).unwrap();
        assert_eq!(grad(&x), [4.0, 6.0]);
        let integers = to_dtype(&x, DType::I64).unwrap();
        assert!(!integers.requires_grad());
        assert_eq!(integers.set_requires_grad(true).unwrap_err().code(), "ERR_AUTOGRAD");
    }

    #[test]
    fn a_chain_of_many_operations_is_walked_and_freed_in_a_loop() {
        let x = leaf(&[1.0]);
        let run = || {
            let mut y = x.clone();
            for k in 0..100_000 {
                // Every other operation saves its input, so that both ways of holding the chain are met.
                y = if k % 2 == 0 { add_scalar(&y, 0.0).unwrap() } else { mul(&y, &y).unwrap() };
            }
            y
        };
        // A test's stack is 2 MiB: one frame a link would overflow it.
        drop(run());
        backward(&run(), None, Options::default()).unwrap();
        assert!(grad(&x)[0].is_infinite());
        let depth = crate::scope::enter();
        let y = run();
        crate::scope::exit(depth, std::slice::from_ref(&y)).unwrap();
        assert_eq!(y.to_scalar().unwrap(), 1.0);
    }

    #[test]
    fn wrong_seeds_are_refused() {
        let x = leaf(&[1.0, 2.0]);
        let y = square(&x).unwrap();
        assert_eq!(backward(&y, None, Options::default()).unwrap_err().code(), "ERR_SHAPE");
        let wrong = Tensor::zeros(&[3], DType::F64).unwrap();
        assert_eq!(backward(&y, Some(&wrong), Options::default()).unwrap_err().code(), "ERR_SHAPE");
        let wrong = Tensor::zeros(&[2], DType::F32).unwrap();
        assert_eq!(backward(&y, Some(&wrong), Options::default()).unwrap_err().code(), "ERR_SHAPE");
    }

    #[test]
    fn a_kernel_run_once_refuses_a_second_derivative() {
        let x = leaf(&[2.0]);
        let y = crate::op::once_one("kernel", &[&x], |inputs| square(inputs[0])).unwrap();
        assert!(y.requires_grad());
        let error = backward(&y, None, Options::default()).unwrap_err();
        assert_eq!(error.code(), "ERR_UNSUPPORTED");
        assert!(error.message().contains("kernel"));
    }
}
