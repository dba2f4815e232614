"""SimCLR on a fifth of CIFAR-10 in plain PyTorch: the peer our own training curve is compared with.

The recipe is written down as a table in README.md; this file is its executable form. It writes one
JSON line per epoch (epoch 0 is the untrained network) and reports progress on stderr.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.models import resnet18
from torchvision.transforms import v2

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)
CLASSES = 10
VALIDATION_IMAGES = 2_000
QUEUE_LENGTH = 10_000
RANKME_ROWS = 2_048


# --- data ---------------------------------------------------------------------------------------


def load_cifar10(file: Path, count: int) -> tuple[np.ndarray, torch.Tensor]:
    """The first `count` records of a CIFAR-10 binary file: uint8 images (N, 32, 32, 3) and labels."""
    records = np.fromfile(file, np.uint8, count * 3073).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), torch.from_numpy(records[:, 0].astype(np.int64))


def normalise(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) to normalised float32 (N, 3, H, W), channels last in memory."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def augmentation() -> v2.Transform:
    """One random view of a PIL image; draws come from torch's global generator."""
    return v2.Compose([
        v2.RandomResizedCrop(32, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
    ])


# --- model --------------------------------------------------------------------------------------


def low_resolution_resnet18() -> nn.Module:
    """ResNet-18 with a 3x3 stride-1 stem, no max-pool and no classifier: 32x32 images to 512 numbers."""
    net = resnet18(weights=None)
    net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return net


def simclr_projector(width: int = 512, hidden: int = 2048, out: int = 256) -> nn.Module:
    last_norm = nn.BatchNorm1d(out)
    last_norm.register_parameter("bias", None)
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, out, bias=False), last_norm,
    )


def nt_xent(z: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """NT-Xent of 2N projections: row i and row i + N are the two views of one image."""
    z = F.normalize(z, dim=1)
    similarity = z @ z.T / temperature
    similarity.fill_diagonal_(-math.inf)
    rows = len(z)
    return F.cross_entropy(similarity, torch.arange(rows).roll(rows // 2))


# --- optimisation -------------------------------------------------------------------------------


@torch.no_grad()
def lars_step(layer: nn.Linear, lr: float = 0.1, eta: float = 0.02, eps: float = 1e-8) -> None:
    """One LARS update without momentum or weight decay; clips the rate and leaves the bias unscaled."""
    for p in layer.parameters():
        p_norm, g_norm = p.norm().item(), p.grad.norm().item()
        scaled = p.ndim > 1 and p_norm > 0 and g_norm > 0
        trust = min(eta * p_norm / (g_norm + eps) / lr, 1.0) if scaled else 1.0
        p.sub_(p.grad, alpha=lr * trust)
        p.grad = None


def warmup_cosine(total: int, warmup: int, start: float = 0.01):
    """Factor of the learning rate at step t: linear from `start` to 1, then a cosine to 0 at `total`."""
    def factor(t: int) -> float:
        if t < warmup:
            return start + (1 - start) * t / warmup
        return 0.5 * (1 + math.cos(math.pi * (t - warmup) / (total - warmup)))
    return factor


def train_probe(probe: nn.Linear, embedding: torch.Tensor, labels: torch.Tensor, lr: float = 0.1) -> None:
    F.cross_entropy(probe(embedding), labels).backward()
    lars_step(probe, lr)


def fitted_probe(queue: "Queue", steps: int, batch: int) -> nn.Linear:
    """A fresh probe after so many steps on embeddings that stay as they are; its rate falls to 0 along half a cosine."""
    probe = nn.Linear(queue.features.shape[1], CLASSES)
    for step in range(steps):
        rows = torch.randint(len(queue.labels), (batch,))
        train_probe(probe, queue.features[rows], queue.labels[rows], 0.05 * (1 + math.cos(math.pi * step / steps)))
    return probe


# --- what is measured ---------------------------------------------------------------------------


class Queue:
    """The newest `length` embeddings with their labels, oldest first."""

    def __init__(self, length: int):
        self.length = length
        self.features, self.labels = torch.empty(0, 512), torch.empty(0, dtype=torch.int64)

    def push(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        self.features = torch.cat([self.features, features])[-self.length:]
        self.labels = torch.cat([self.labels, labels])[-self.length:]


@torch.no_grad()
def embed(backbone: nn.Module, images: np.ndarray, batch: int = 250) -> torch.Tensor:
    """Embeddings of un-augmented images in evaluation mode; leaves the backbone in training mode."""
    backbone.eval()
    out = torch.cat([backbone(normalise(images[i:i + batch])) for i in range(0, len(images), batch)])
    backbone.train()
    return out


def knn_scores(queue: Queue, x: torch.Tensor, k: int = 10, temperature: float = 0.07) -> torch.Tensor:
    """Class scores: each of the k nearest in the queue votes with 1 / (euclidean distance + temperature)."""
    distance, index = torch.cdist(x, queue.features).topk(min(k, len(queue.features)), largest=False)
    votes = F.one_hot(queue.labels[index], CLASSES) / (distance + temperature).unsqueeze(-1)
    return votes.sum(1)


def accuracy(scores: torch.Tensor, labels: torch.Tensor, k: int = 1) -> float:
    return (scores.topk(k).indices == labels.unsqueeze(1)).any(1).float().mean().item()


def rankme(features: torch.Tensor) -> float:
    """Exponential of the entropy of the singular values (of the rows as they are, not centred)."""
    s = torch.linalg.svdvals(features)
    p = s / s.sum() + 1e-5
    return torch.exp(-(p * p.log()).sum()).item()


@torch.no_grad()
def evaluate(queue: Queue, probe: nn.Linear, x: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    logits = probe(x)
    return {
        "knn_top1": accuracy(knn_scores(queue, x), labels),
        "probe_top1": accuracy(logits, labels),
        "probe_top5": accuracy(logits, labels, 5),
        "rankme": rankme(queue.features[-RANKME_ROWS:]),
    }


# --- the run ------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with data_batch_1.bin and test_batch.bin")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one per epoch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128, help="images per step; the network sees twice as many views")
    parser.add_argument("--images", type=int, default=10_000, help="training images (fewer for a smoke run)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    train_images, train_labels = load_cifar10(args.data / "data_batch_1.bin", args.images)
    val_images, val_labels = load_cifar10(args.data / "test_batch.bin", VALIDATION_IMAGES)
    pictures = [Image.fromarray(image) for image in train_images]
    augment = augmentation()

    backbone = low_resolution_resnet18().to(memory_format=torch.channels_last)
    projector, probe = simclr_projector(), nn.Linear(512, CLASSES)
    steps_per_epoch = len(pictures) // args.batch
    total = args.epochs * steps_per_epoch
    optimizer = torch.optim.SGD([*backbone.parameters(), *projector.parameters()],
                                lr=0.06, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(total, int(0.1 * total)))

    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w") as out:

        def report(line: dict) -> None:
            rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
            print(json.dumps(rounded), file=out, flush=True)
            print(json.dumps(rounded), file=sys.stderr, flush=True)

        # Epoch 0: the untrained backbone, compared against un-augmented training images. `probe_*` is
        # the probe as initialised; `frozen_probe_*` is a fresh one fitted to these fixed embeddings for
        # as many steps as the run has. Its draws come from a forked generator: the run is not moved.
        started = time.perf_counter()
        untrained = Queue(QUEUE_LENGTH)
        untrained.push(embed(backbone, train_images), train_labels)
        val_embedding = embed(backbone, val_images)
        line = {"epoch": 0, "loss": None, **evaluate(untrained, probe, val_embedding, val_labels)}
        with torch.random.fork_rng():
            baseline = fitted_probe(untrained, total, 2 * args.batch)
        scores = baseline(val_embedding)
        report({**line, "frozen_probe_top1": accuracy(scores, val_labels),
                "frozen_probe_top5": accuracy(scores, val_labels, 5), "seconds": time.perf_counter() - started})

        queue = Queue(QUEUE_LENGTH)
        for epoch in range(1, args.epochs + 1):
            started, losses = time.perf_counter(), []
            order = torch.randperm(len(pictures))
            for step in range(steps_per_epoch):
                pick = order[step * args.batch:(step + 1) * args.batch]
                views = [np.asarray(augment(pictures[i])) for _ in range(2) for i in pick.tolist()]
                labels = train_labels[pick].repeat(2)

                # One pass a view: batch norm sees one view at a time.
                seen = [backbone(view) for view in normalise(np.stack(views)).chunk(2)]
                embedding = torch.cat(seen)
                loss = nt_xent(torch.cat([projector(features) for features in seen]))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())

                train_probe(probe, embedding.detach(), labels)
                queue.push(embedding.detach(), labels)
                if step % 10 == 9 or step == 0:
                    pace = (time.perf_counter() - started) / (step + 1)
                    print(f"epoch {epoch} step {step + 1}/{steps_per_epoch} loss {losses[-1]:.4f} "
                          f"{pace:.2f} s/step", file=sys.stderr, flush=True)
            report({"epoch": epoch, "loss": sum(losses) / len(losses),
                    **evaluate(queue, probe, embed(backbone, val_images), val_labels),
                    "seconds": time.perf_counter() - started})


if __name__ == "__main__":
    main()
