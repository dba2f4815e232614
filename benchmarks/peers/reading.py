"""A pass of a DataLoader that only reads: JPEG files decoded by OpenCV or Pillow, or rows of a Parquet file by pyarrow.

usage: reading.py opencv|pillow decode FOLDER IMAGES
       reading.py pyarrow parquet FILE IMAGES
The Parquet file stands for as many shards as make IMAGES rows; each row group is read anew and its rows resized to 32x32.
"""

import io
import sys
from pathlib import Path

import turns

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

library, kind, place, images = sys.argv[1:]
images = int(images)


def to_tensor(picture):
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float().div_(255)


class Photos(Dataset):
    def __init__(self):
        self.files = [path.read_bytes() for path in sorted(Path(place).glob("*.jpg"))]

    def __len__(self):
        return images

    def __getitem__(self, index):
        content = self.files[index % len(self.files)]
        if library == "opencv":
            import cv2

            cv2.setNumThreads(0)
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            return to_tensor(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        from PIL import Image

        return to_tensor(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


class Rows(Dataset):
    """An item is a row group."""

    def __init__(self):
        import pyarrow.parquet as pq

        self.groups = pq.ParquetFile(place).num_row_groups
        self.items = images // pq.ParquetFile(place).metadata.num_rows * self.groups

    def __len__(self):
        return self.items

    def __getitem__(self, index):
        import pyarrow.parquet as pq
        from PIL import Image

        table = pq.ParquetFile(place).read_row_group(index % self.groups, columns=["image.bytes", "label"])
        pictures = []
        for row in table.to_pylist():
            picture = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            pictures.append(to_tensor(np.asarray(picture.resize((32, 32), Image.BILINEAR))))
        return torch.stack(pictures)


torch.set_num_threads(1)
workers = turns.threads()
options = dict(num_workers=workers, persistent_workers=True, worker_init_fn=lambda _: torch.set_num_threads(1))
if kind == "decode":
    loader = DataLoader(Photos(), 128, **options)
else:
    loader = DataLoader(Rows(), 42, shuffle=True, collate_fn=torch.cat, **options)


def epoch():
    made = sum(len(batch) for batch in loader)
    assert made == images, made


turns.serve(library, epoch, notes=lambda: {"workers": workers})
