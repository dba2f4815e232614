"""A pass of a DataLoader over pictures in memory with the augmentation of SimCLR.

usage: augment.py torchvision|albumentations cifar|photo PLACE IMAGES SIZE
PLACE is a file of 32x32x3 pictures, or a folder of JPEG files; what is read once is taken again until IMAGES are made.
"""

import io
import os
import sys
from pathlib import Path

import turns

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

library, kind, place, images, side = sys.argv[1:]
images, side = int(images), int(side)
mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
if kind == "cifar":
    pictures = list(np.fromfile(place, np.uint8).reshape(-1, 32, 32, 3))
else:
    pictures = [np.fromfile(path, np.uint8) for path in sorted(Path(place).glob("*.jpg"))]


def with_torchvision():
    """On PIL images: what most recipes run."""
    import torchvision
    from PIL import Image, ImageFilter
    from torchvision.transforms import v2

    def blur(image):
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(()).uniform_(0.1, 2))))

    steps = v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(0.2, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.Lambda(blur)], p=0.5),
            v2.RandomSolarize(128, p=0.1),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )

    def make(picture):
        if kind == "cifar":
            return steps(Image.fromarray(picture))
        return steps(Image.open(io.BytesIO(picture.data)).convert("RGB"))

    return f"torchvision-{torchvision.__version__.split('+')[0]}-pil", make


def with_albumentations():
    import albumentations as A
    import cv2

    cv2.setNumThreads(0)
    kernel = 3 if kind == "cifar" else 23
    steps = A.Compose(
        [
            A.RandomResizedCrop(size=(side, side), scale=(0.2, 1.0)),
            A.HorizontalFlip(p=0.5),
            A.ColorJitter(brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=0.8),
            A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=(kernel, kernel), sigma_limit=(0.1, 2.0), p=0.5),
            A.Solarize(threshold_range=(0.5, 0.5), p=0.1),
            A.Normalize(mean, std),
        ]
    )

    def make(picture):
        if kind == "photo":
            picture = cv2.cvtColor(cv2.imdecode(picture, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(np.ascontiguousarray(steps(image=picture)["image"].transpose(2, 0, 1)))

    return f"albumentations-{A.__version__}", make


peer, make = {"torchvision": with_torchvision, "albumentations": with_albumentations}[library]()


class Views(Dataset):
    def __len__(self):
        return images

    def __getitem__(self, index):
        return make(pictures[index % len(pictures)])


torch.set_num_threads(1)
workers = turns.threads()
loader = DataLoader(
    Views(), 128, num_workers=workers, persistent_workers=True, worker_init_fn=lambda _: torch.set_num_threads(1)
)


def epoch():
    made = sum(len(batch) for batch in loader)
    assert made == images, made


turns.serve(peer, epoch, notes=lambda: {"workers": workers})
