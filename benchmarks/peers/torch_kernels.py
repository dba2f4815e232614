"""Products, convolutions and nearest neighbours by PyTorch, eager; images lie channels last.

usage: torch_kernels.py gemm M K N | conv IMAGES CHANNELS SIDE fwd|fwdbwd | knn ROWS DIM QUERIES   then fp32 | bf16-mixed
"""

import sys

import turns

import torch
import torch.nn.functional as F

torch.set_num_threads(turns.threads())
torch.manual_seed(0)

kind, *rest, precision = sys.argv[1:]
dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32


def gemm(m, k, n):
    a, b, product = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype), torch.empty(m, n, dtype=dtype)
    return lambda: torch.mm(a, b, out=product)


def conv(images, channels, side, backward):
    def pictures():
        return torch.randn(images, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)

    x, upstream = pictures(), pictures()
    weight = 0.05 * torch.randn(channels, channels, 3, 3)
    weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)

    def forward():
        with torch.no_grad():
            F.conv2d(x, weight, padding=1)

    def both():
        x.grad = weight.grad = None
        F.conv2d(x, weight, padding=1).backward(upstream)

    if backward:
        x.requires_grad_()
        weight.requires_grad_()
    return both if backward else forward


def knn(rows, dim, queries):
    queue, labels, batch = torch.randn(rows, dim), torch.randint(10, (rows,)), torch.randn(queries, dim)

    @torch.no_grad()
    def vote():
        distance, nearest = torch.cdist(batch, queue).topk(10, largest=False)
        votes = F.one_hot(labels[nearest], 10).float()
        return (votes * (1 / (distance + 0.07)).unsqueeze(-1)).sum(1)

    return vote


if kind == "conv":
    run = conv(*map(int, rest[:3]), rest[3] == "fwdbwd")
else:
    run = {"gemm": gemm, "knn": knn}[kind](*map(int, rest))
turns.serve(f"pytorch-{torch.__version__.split('+')[0]}-eager", run, warm=4)
