"""SimCLR, BYOL, VICReg, DINO, MAE and LeJEPA in plain PyTorch: the peers of six rows of suites/learning.yaml.

Each has that suite's backbone, recipe, number of steps and evaluation: neighbours among the embeddings of the
training images as they are, and a linear probe fitted to those, before training and after it; along with
training, neighbours among the newest training embeddings and an online linear probe. Random numbers differ, so
results are compared as results. It writes one JSON line per epoch, one more for the untrained and one for the
trained network.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.transforms import InterpolationMode, v2

from simclr_cifar10 import CLASSES, VALIDATION_IMAGES, accuracy, load_cifar10, normalise, nt_xent, rankme
from simclr_cifar10 import fitted_probe, train_probe, warmup_cosine

# --- views ----------------------------------------------------------------------------------------


def view(size: int, scale: tuple[float, float], *, jitter: float = 0.8, grey: float = 0.2, solarize: float = 0.0,
         mode: InterpolationMode = InterpolationMode.BICUBIC, strength=(0.4, 0.4, 0.2, 0.1)) -> v2.Transform:
    """Crop, flip, colour jitter, grey, solarize; below 64 pixels nothing is blurred."""
    return v2.Compose([
        v2.RandomResizedCrop(size, scale=scale, ratio=(3 / 4, 4 / 3), antialias=True, interpolation=mode),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.ColorJitter(*strength)], p=jitter),
        v2.RandomGrayscale(grey),
        v2.RandomSolarize(128, p=solarize),
    ])


SIMCLR = view(16, (0.2, 1), mode=InterpolationMode.BILINEAR, strength=(0.4, 0.4, 0.4, 0.1))
DINO_LOCAL = view(8, (0.05, 0.4))
DINO_VIEWS = [view(16, (0.4, 1)), view(16, (0.4, 1), solarize=0.2), DINO_LOCAL, DINO_LOCAL]
LEJEPA_GLOBAL, LEJEPA_LOCAL = view(16, (0.3, 1), solarize=0.2), view(8, (0.05, 0.3), solarize=0.2)
MAE_VIEW = view(16, (0.2, 1), jitter=0.0, grey=0.0)

# --- networks -------------------------------------------------------------------------------------


def resnet(width: int = 32) -> nn.Module:
    """ResNet-18 for small images (a 3x3 stem, no max-pool) of half the usual width: images to 256 numbers."""
    def stage(before: int, after: int, stride: int) -> nn.Module:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        first = BasicBlock(before, after, stride, shortcut if stride > 1 else None)
        return nn.Sequential(first, BasicBlock(after, after))

    net = nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        stage(width, width, 1), stage(width, 2 * width, 2), stage(2 * width, 4 * width, 2),
        stage(4 * width, 8 * width, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


def perceptron(*widths: int, bias: bool = True, last_bias: bool | None = None, last_norm: nn.Module | None = None):
    """Linear, batch norm, ReLU for each hidden width, then a linear layer."""
    layers: list[nn.Module] = []
    for index, (a, b) in enumerate(zip(widths, widths[1:])):
        last = index == len(widths) - 2
        layers.append(nn.Linear(a, b, bias=(bias if last_bias is None else last_bias) if last else bias))
        if not last:
            layers += [nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([last_norm] if last_norm else []))


def scale_norm(width: int) -> nn.Module:
    """A batch norm with a scale and without a bias."""
    norm = nn.BatchNorm1d(width)
    norm.register_parameter("bias", None)
    return norm


class DinoHead(nn.Module):
    """Two hidden layers with GELU, a bottleneck of length 1, prototypes."""

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
                                 nn.Linear(hidden, bottleneck))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Linear(bottleneck, prototypes, bias=False)

    def forward(self, x: torch.Tensor, freeze: bool = False) -> torch.Tensor:
        point = F.normalize(self.mlp(x), dim=-1)
        weight = self.prototypes.weight
        return F.linear(point, weight.detach() if freeze else weight)


class Teacher:
    """A moving average of networks, buffers included, whose momentum follows a half cosine over the steps."""

    def __init__(self, start: float, end: float, *networks: nn.Module):
        self.start, self.end, self.students = start, end, networks
        self.networks = [copy.deepcopy(network).requires_grad_(False) for network in networks]

    @torch.no_grad()
    def move(self, step: int, total: int) -> None:
        c = self.end - (self.end - self.start) * (1 + math.cos(math.pi * step / total)) / 2
        for mine, theirs in zip(self.networks, self.students):
            mine_all, theirs_all = mine.state_dict(), theirs.state_dict()
            for name, value in mine_all.items():
                if value.is_floating_point():
                    value.mul_(c).add_(theirs_all[name], alpha=1 - c)


# --- methods: `modules` are trained, `views` make a sample, `step` gives loss, embedding, repeats of the labels ----


class Method:
    width = 256
    views: list[v2.Transform]
    teacher: Teacher | None = None
    sgd = False  # lr 0.1; AdamW otherwise
    lr, epochs = 1e-3, 10

    @property
    def networks(self) -> list[nn.Module]:
        """What is trained, and the teacher's networks."""
        return [*self.modules, *(self.teacher.networks if self.teacher else [])]

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.backbone(x)


class SimCLR(Method):
    views = [SIMCLR, SIMCLR]

    def __init__(self):
        self.backbone = resnet()
        self.projector = perceptron(256, 512, 128, bias=False, last_norm=scale_norm(128))
        self.modules = [self.backbone, self.projector]

    def step(self, images, epoch):
        seen = [self.backbone(x) for x in images]
        return nt_xent(torch.cat([self.projector(h) for h in seen]), temperature=0.2), torch.cat(seen)


class VICReg(SimCLR):
    def __init__(self):
        self.backbone = resnet()
        self.projector = perceptron(256, 512, 512, 512, last_bias=False)
        self.modules = [self.backbone, self.projector]

    def step(self, images, epoch):
        seen = [self.backbone(x) for x in images]
        z = [self.projector(h) for h in seen]
        loss = 25 * F.mse_loss(*z)
        for one in z:
            centred = one - one.mean(0)
            deviation = (centred.var(0) + 1e-4).sqrt()
            covariance = centred.T @ centred / (len(one) - 1)
            off = covariance - torch.diag(covariance.diagonal())
            loss = loss + 25 * F.relu(1 - deviation).mean() / 2 + off.square().sum() / one.shape[1]
        return loss, torch.cat(seen)


class BYOL(Method):
    views = [SIMCLR, SIMCLR]
    sgd = True

    def __init__(self):
        self.backbone, self.projector = resnet(), perceptron(256, 1024, 128)
        self.predictor = perceptron(128, 512, 128)
        self.modules = [self.backbone, self.projector, self.predictor]
        self.teacher = Teacher(0.97, 1.0, self.backbone, self.projector)

    def step(self, images, epoch):
        backbone, projector = self.teacher.networks
        with torch.no_grad():
            seen = [backbone(x) for x in images]
            targets = [F.normalize(projector(h), dim=-1) for h in seen]
        p = [F.normalize(self.predictor(self.projector(self.backbone(x))), dim=-1) for x in images]
        loss = 2 - (p[0] * targets[1]).sum(-1).mean() - (p[1] * targets[0]).sum(-1).mean()
        return loss, torch.cat(seen)

    def embed(self, x):
        return self.teacher.networks[0](x)


class DINO(BYOL):
    views = DINO_VIEWS
    sgd = False

    def __init__(self):
        self.backbone, self.projector = resnet(), DinoHead(256, 512, 128, 1024)
        self.modules = [self.backbone, self.projector]
        self.teacher = Teacher(0.98, 1.0, self.backbone, self.projector)
        self.centre: torch.Tensor | None = None

    def step(self, images, epoch):
        backbone, head = self.teacher.networks
        temperature = min(0.04 + 0.01 * epoch, 0.06)  # two epochs of warm-up
        with torch.no_grad():
            seen = backbone(torch.cat(images[:2]))
            scores = head(seen)
            centre = 0 if self.centre is None else self.centre
            targets = ((scores - centre) / temperature).softmax(-1).chunk(2)
            mean = scores.mean(0)
            self.centre = mean if self.centre is None else 0.9 * self.centre + 0.1 * mean
        student = [*self.backbone(torch.cat(images[:2])).chunk(2), *self.backbone(torch.cat(images[2:])).chunk(2)]
        logs = [(self.projector(h, freeze=epoch < 1) / 0.1).log_softmax(-1) for h in student]
        terms = [-(t * s).sum(-1).mean() for i, t in enumerate(targets) for j, s in enumerate(logs) if i != j]
        return torch.stack(terms).mean(), seen


class LeJEPA(Method):
    views = [LEJEPA_GLOBAL, LEJEPA_GLOBAL, LEJEPA_LOCAL, LEJEPA_LOCAL]

    def __init__(self):
        self.backbone = resnet()
        self.projector = nn.Sequential(nn.Linear(256, 128), perceptron(128, 512, 64))
        self.modules = [self.backbone, self.projector]
        self.points = torch.linspace(0, 3, 17)
        weights = torch.full((17,), 2 * 3 / 16)
        weights[[0, -1]] /= 2
        self.normal = (-self.points.square() / 2).exp()
        self.weights = weights * self.normal

    def step(self, images, epoch):
        seen = self.backbone(torch.cat(images[:2]))
        local = self.backbone(torch.cat(images[2:]))
        z = self.projector(torch.cat([seen, local]))
        views = z.view(4, -1, z.shape[1])
        invariance = (views - views[:2].mean(0, keepdim=True)).square().mean()
        phases = (z @ F.normalize(torch.randn(z.shape[1], 256), dim=0)).unsqueeze(-1) * self.points
        distance = (phases.cos().mean(0) - self.normal).square() + phases.sin().mean(0).square()
        return invariance + 0.05 * (distance @ self.weights).mean() * len(z), seen


class MAE(Method):
    width, lr, epochs = 192, 1.5e-3, 30
    views = [MAE_VIEW]

    def __init__(self):
        self.vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=192, depth=4, num_heads=3, num_classes=0)
        self.decoder = MaeDecoder(192, 96, depth=2, heads=3, grid=4, out=3 * 4 * 4)
        self.modules = [self.vit, self.decoder]

    def tokens(self, x, keep=None):
        """Class token and patches [batch, 1 + n, width] after all blocks, of the patches `keep` [batch, n] alone."""
        vit = self.vit
        patches = vit.patch_embed(x) + vit.pos_embed[:, 1:]
        if keep is not None:
            patches = patches.gather(1, keep.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
        cls = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(x), -1, -1)
        return vit.norm(vit.blocks(torch.cat([cls, patches], 1)))

    def step(self, images, epoch):
        (x,) = images
        order = torch.rand(len(x), 16).argsort(1)
        keep = order[:, :4]
        prediction = self.decoder(self.tokens(x, keep)[:, 1:], order, 4)
        target = F.unfold(x.contiguous(), 4, stride=4).transpose(1, 2)  # [batch, patches, channels · 4 · 4]
        target = target.gather(1, order[:, 4:].unsqueeze(-1).expand(-1, -1, target.shape[-1]))
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        loss = (prediction - target).square().mean()
        self.vit.eval()
        with torch.no_grad():
            embedding = self.embed(x)
        self.vit.train()
        return loss, embedding

    def embed(self, x):
        return self.tokens(x)[:, 1:].mean(1)


class MaeDecoder(nn.Module):
    """Visible tokens and mask tokens, each with its place, to the pixels of the hidden patches."""

    def __init__(self, width: int, dim: int, depth: int, heads: int, grid: int, out: int):
        super().__init__()
        self.proj, self.mask_token = nn.Linear(width, dim), nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.normal_(self.mask_token, std=0.02)
        y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        frequencies = 10000.0 ** (-torch.arange(dim // 4) / (dim / 4))
        phases = [p.flatten().unsqueeze(1) * frequencies for p in (y, x)]
        self.register_buffer("places", torch.cat([f(p) for p in phases for f in (torch.sin, torch.cos)], 1))
        self.blocks = nn.Sequential(*[Block(dim, heads, qkv_bias=True) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, out)

    def forward(self, visible: torch.Tensor, order: torch.Tensor, kept: int) -> torch.Tensor:
        batch, patches = order.shape
        tokens = torch.cat([self.proj(visible), self.mask_token.expand(batch, patches - kept, -1)], 1)
        return self.out(self.norm(self.blocks(tokens + self.places[order])))[:, kept:]


METHODS = {"simclr": SimCLR, "byol": BYOL, "vicreg": VICReg, "dino": DINO, "mae": MAE, "lejepa": LeJEPA}

# --- what is measured -----------------------------------------------------------------------------


class Queue:
    """The newest rows and their labels."""

    def __init__(self, length: int):
        self.length, self.features, self.labels = length, torch.empty(0), torch.empty(0, dtype=torch.int64)

    def push(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        self.features = torch.cat([self.features, features])[-self.length:] if len(self.labels) else features
        self.labels = torch.cat([self.labels, labels])[-self.length:]


def knn(queue: Queue, x: torch.Tensor, labels: torch.Tensor, k: int = 20) -> float:
    """Each of the k nearest rows votes with 1 / (1 - cosine + 0.07)."""
    distance, index = (1 - F.normalize(x, dim=1) @ F.normalize(queue.features, dim=1).T).topk(k, largest=False)
    votes = F.one_hot(queue.labels[index], CLASSES) / (distance + 0.07).unsqueeze(-1)
    return accuracy(votes.sum(1), labels)


@torch.no_grad()
def embed(method: Method, images: np.ndarray) -> torch.Tensor:
    """Embeddings of images as they are, by networks in evaluation mode."""
    for network in method.networks:
        network.eval()
    out = torch.cat([method.embed(normalise(images[i:i + 250])) for i in range(0, len(images), 250)])
    for network in method.networks:
        network.train()
    return out


def frozen(method: Method, images: np.ndarray, labels: torch.Tensor, val: np.ndarray, val_labels: torch.Tensor,
           steps: int) -> dict[str, float]:
    """Neighbours and a linear probe fitted with `steps` steps of 256 rows, on the embeddings of images as they are."""
    queue = Queue(len(images))
    queue.push(embed(method, images), labels)
    x, probe = embed(method, val), fitted_probe(queue, steps, 256)
    with torch.no_grad():
        return {"knn_top1": knn(queue, x, val_labels), "linear_probe_top1": accuracy(probe(x), val_labels)}


# --- the run --------------------------------------------------------------------------------------


def train(name: str, args: argparse.Namespace, out) -> None:
    torch.manual_seed(args.seed)
    images, labels = load_cifar10(args.data / "data_batch_1.bin", args.images)
    val_images, val_labels = load_cifar10(args.data / "test_batch.bin", VALIDATION_IMAGES)
    pictures = [Image.fromarray(image) for image in images]
    method = METHODS[name]()
    epochs = args.epochs or method.epochs
    # What is evaluated is seen whole, at the size of the views.
    plain, val = (np.stack([np.asarray(p.resize((16, 16), Image.Resampling.BILINEAR)) for p in
                            map(Image.fromarray, some)]) for some in (images, val_images))
    for module in method.modules:
        module.to(memory_format=torch.channels_last)
    probe = nn.Linear(method.width, CLASSES)
    steps = len(pictures) // args.batch
    total = min(epochs * steps, args.max_steps or math.inf)
    # No weight decay for biases and norms, as `exclude_bias_norm` has it.
    params = [p for module in method.modules for p in module.parameters()]
    groups = [{"params": [p for p in params if p.ndim > 1]},
              {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = (torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4) if method.sgd else
                 torch.optim.AdamW(groups, lr=method.lr, betas=(0.9, 0.95), weight_decay=0.05))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(total, max(1, int(0.1 * total))))
    queue, started = Queue(10_000), time.perf_counter()

    def report(line: dict) -> None:
        text = json.dumps({"method": name, **line, "seconds": round(time.perf_counter() - started, 1)})
        print(text, file=out, flush=True)
        print(text, flush=True)

    report({"state": "untrained", **frozen(method, plain, labels, val, val_labels, min(1_000, total))})
    done = 0
    for epoch in range(epochs):
        losses, order = [], torch.randperm(len(pictures))
        for step in range(steps):
            if done == total:
                break
            pick = order[step * args.batch:(step + 1) * args.batch]
            views = [normalise(np.stack([np.asarray(t(pictures[i])) for i in pick.tolist()])) for t in method.views]
            loss, embedding = method.step(views, epoch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(params, 3.0)
            optimizer.step()
            schedule.step()
            if method.teacher:
                method.teacher.move(done, total)
            done += 1
            embedding = embedding.detach()
            rows = labels[pick].repeat(len(embedding) // len(pick))
            train_probe(probe, embedding, rows)
            queue.push(embedding, rows)
            losses.append(loss.item())
        x = embed(method, val)
        with torch.no_grad():
            linear = accuracy(probe(x), val_labels)
        report({"epoch": epoch + 1, "steps": done, "loss": sum(losses) / max(1, len(losses)),
                "knn_top1": knn(queue, x, val_labels), "linear_probe_top1": linear,
                "rankme": rankme(queue.features[-2_048:])})
        if done == total:
            break
    if args.weights:
        args.weights.mkdir(parents=True, exist_ok=True)
        torch.save([network.state_dict() for network in method.networks], args.weights / f"{name}.pt")
    report({"state": "trained", **frozen(method, plain, labels, val, val_labels, min(1_000, total))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=list(METHODS), help=f"of {', '.join(METHODS)}; default: all")
    parser.add_argument("--data", type=Path, required=True, help="folder with data_batch_1.bin and test_batch.bin")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one per method and epoch")
    parser.add_argument("--weights", type=Path, help="folder for the trained weights, METHOD.pt; default: none are kept")
    parser.add_argument("--epochs", type=int, default=0, help="0: the suite's, 10, or 30 of MAE")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--max-steps", type=int, default=0, help="for a try; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    unknown = set(args.methods) - set(METHODS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    torch.set_num_threads(args.threads)
    with args.out.open("a") as out:
        for name in args.methods:
            train(name, args, out)


if __name__ == "__main__":
    main()
