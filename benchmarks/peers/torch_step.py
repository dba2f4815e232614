"""A training step by PyTorch on a batch that is there already: SimCLR with ResNet-18, or ViT-Tiny with the same loss.

usage: torch_step.py simclr-r18|vit-tiny IMAGES fp32|bf16-mixed eager|compile [channels-last]

Mixed precision is autocast over the network; parameters, optimizer and loss stay float32.
"""

import sys

import turns

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(turns.threads())
torch.manual_seed(0)

network, images, precision, mode, *layout = sys.argv[1:]
memory_format = torch.channels_last if layout else torch.contiguous_format


def conv_norm(inputs, outputs, size, stride):
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        first, second = conv_norm(inputs, outputs, 3, stride), conv_norm(outputs, outputs, 3, 1)
        self.inner = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride))

    def forward(self, x):
        return F.relu(self.inner(x) + self.shortcut(x))


def resnet18():
    """A 3x3 stem without pooling, for small images; 512 features."""
    layers = [*conv_norm(3, 64, 3, 1), nn.ReLU(inplace=True)]
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    for inputs, outputs in zip(widths, widths[1:]):
        layers.append(Residual(inputs, outputs, 1 if inputs == outputs else 2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of 4x4, 12 layers of 192 in 3 heads; the class token's features."""

    def __init__(self, dim=192, patch=4, side=32):
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, 3) for _ in range(12)])
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
        return self.norm(self.blocks(x))[:, 0]


def projector(dim):
    return nn.Sequential(nn.Linear(dim, 2048), nn.BatchNorm1d(2048), nn.ReLU(inplace=True), nn.Linear(2048, 128))


def nt_xent(z, temperature=0.5):
    z = F.normalize(z.float())
    rows = len(z)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, (torch.arange(rows) + rows // 2) % rows)


if network == "simclr-r18":
    model = nn.Sequential(resnet18(), projector(512)).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-6)
else:
    model = nn.Sequential(VisionTransformer(), projector(192))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
forward = torch.compile(model) if mode == "compile" else model
batch = torch.randn(int(images), 3, 32, 32).contiguous(memory_format=memory_format)
losses = []


def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        z = forward(batch)
    loss = nt_xent(z)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())


name = "-".join([f"pytorch-{torch.__version__.split('+')[0]}", mode, *layout])
turns.serve(name, step, warm=3, notes=lambda: {"loss_first": losses[0], "loss_last": losses[-1]})
