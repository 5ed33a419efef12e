"""CIFAR's binary files as PyTorch tensors, normalised and augmented as Walsh does it."""
from collections import namedtuple

import numpy as np
import torch

PAD, SIDE = 4, 32

Version = namedtuple("Version", "classes label_bytes mean std train test")  # the label is the last of label_bytes
CIFAR10 = Version(10, 1, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "data_batch_*.bin", "test_batch.bin")
CIFAR100 = Version(100, 2, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "train.bin", "test.bin")
VERSIONS = {"cifar10": CIFAR10, "cifar100": CIFAR100}


def read_records(path, version, first=0, count=-1):
    """Pixels as bytes [N, 3, 32, 32], and labels."""
    size = version.label_bytes + 3 * SIDE * SIDE
    records = np.fromfile(path, np.uint8, count * size if count >= 0 else -1, offset=first * size).reshape(-1, size)
    pixels = np.ascontiguousarray(records[:, version.label_bytes :]).reshape(-1, 3, SIDE, SIDE)
    return torch.from_numpy(pixels), torch.from_numpy(records[:, version.label_bytes - 1].astype(np.int64))


def read_all(folder, version, pattern):
    parts = [read_records(path, version) for path in sorted(folder.glob(pattern))]
    if not parts:
        raise SystemExit(f"{folder}: expected {pattern}, found none")
    return tuple(torch.cat(part) for part in zip(*parts))


def normalise(pixels, version, dtype=torch.float32):
    mean, std = (torch.tensor(v, dtype=dtype).view(3, 1, 1) for v in (version.mean, version.std))
    return (pixels.to(dtype) / 255 - mean) / std


def augment(pixels, generator):
    """A random window of each image with a frame of 4 zero bytes, every second one flipped."""
    n = len(pixels)
    top, left = torch.randint(0, 2 * PAD + 1, (2, n, 1), generator=generator)
    columns = torch.arange(SIDE).expand(n, SIDE)
    flipped = torch.rand(n, 1, generator=generator) < 0.5
    columns = left + torch.where(flipped, SIDE - 1 - columns, columns)
    rows = top + torch.arange(SIDE)
    framed = torch.nn.functional.pad(pixels, [PAD] * 4)
    image, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(3).view(1, 3, 1, 1)
    return framed[image, channel, rows.view(n, 1, SIDE, 1), columns.view(n, 1, 1, SIDE)]


class Cifar:
    """Batches of a folder of binary files."""

    def __init__(self, folder, version):
        self.version, self.classes = version, version.classes
        self.train_set, self.test_set = (read_all(folder, version, part) for part in (version.train, version.test))
        self.train_images = len(self.train_set[1])

    def train(self, batch, generator):
        """An epoch in random order, without the last incomplete batch."""
        pixels, labels = self.train_set
        order = torch.randperm(len(labels), generator=generator)
        for chosen in order[: len(order) // batch * batch].split(batch):
            yield normalise(augment(pixels[chosen], generator), self.version), labels[chosen]

    def test(self, batch):
        for pixels, labels in zip(*(part.split(batch) for part in self.test_set)):
            yield normalise(pixels, self.version), labels
