#!/usr/bin/env python3
"""Every network of Walsh beside PyTorch's, torchvision's own where it has the network, from the same weights.

    python tools/compare_logits.py [NETWORK...]     # a Python that has torch, torchvision, safetensors and pillow

Evaluation: random weights with perturbed running statistics go through a state_dict in safetensors, as from
torchvision; the logits of `walsh predict` may be --tolerance of their range away from PyTorch's in float64. Training:
two steps of SGD by `walsh train`, from weights with which few ReLUs flip; how far the updates of all weights are from
PyTorch's in float64, L2 over L2, may be --factor times what PyTorch in float32 is away from that, as may those of the
running statistics. Images are random, and
go to Walsh as PNG files or as CIFAR's binary files. Exits with 1 where one is out of tolerance.
"""
import argparse
import copy
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import cifar_pytorch
from imagenet_pytorch import DEVIATION, MEAN
from networks_pytorch import DENSENET_BC, IMAGENET, NAMES, make_network

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES, STEPS = 10, 2  # of training
RECIPE = dict(lr=0.1, momentum=0.9, weight_decay=1e-4)


def random_images(count, side, generator):
    """Bytes [count, 3, side, side]: blobs, and some noise."""
    blobs = torch.rand(count, 3, 7, 7, generator=generator)
    blobs = torch.nn.functional.interpolate(blobs, side, mode="bicubic", align_corners=False)
    return ((blobs + torch.rand(count, 3, side, side, generator=generator) / 4) * 200).clamp(0, 255).to(torch.uint8)


def randomise(model, generator, margin=False):
    """Weights as a network may have them: He's for convolutions; batch norms that scale by about 1 and shift a little.
    `margin`: they scale by about 1/8 and shift by three times as much, down in every fourth channel, so that few inputs
    of ReLUs are near zero, where rounding decides on which side they are."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
                module.weight.mul_(0.125 if margin else 1)
            if isinstance(module, nn.BatchNorm2d):
                scale, shift = torch.rand(2, module.num_features, generator=generator) - 0.5
                down = torch.arange(module.num_features) % 4 == 3
                module.weight.copy_(0.125 + scale / 32 if margin else 1 + scale)
                module.bias.copy_(torch.where(down, -1, 1) * 0.375 + shift / 32 if margin else shift / 2)
        for module in model.modules():
            if getattr(module, "bias", None) is not None and not isinstance(module, nn.BatchNorm2d):
                module.bias.copy_((torch.rand(len(module.bias), generator=generator) - 0.5) / 4)


def settle_statistics(model, x, generator):
    """Running statistics near those of a batch, and not equal to them."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momentum = [m.momentum for m in norms]
    for module in norms:
        module.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
        for module, before in zip(norms, momentum):
            module.momentum = before
            noise = torch.rand(2, module.num_features, generator=generator) - 0.5
            module.running_mean.add_(noise[0] * module.running_var.sqrt() / 2)
            module.running_var.mul_(1 + noise[1])


class CIFARData:
    """Images in the binary files of CIFAR, and as PyTorch sees them."""

    side = 32

    def __init__(self, name, folder):
        self.version, self.name, self.folder = cifar_pytorch.VERSIONS[name], name, folder
        self.classes = self.version.classes

    def write(self, file, pixels, labels):
        head = torch.zeros(len(pixels), self.version.label_bytes, dtype=torch.uint8)
        head[:, -1] = labels
        torch.cat([head, pixels.flatten(1)], 1).numpy().tofile(self.folder / file)

    def prepare(self, train, labels, test):
        self.folder.mkdir()
        self.write(self.version.train.replace("*", "1"), train, labels)
        self.write(self.version.test, test, torch.zeros(len(test), dtype=torch.long))

    def predict_options(self):
        return ["--data", f"{self.name}:{self.folder}"]

    def train_options(self):
        return ["--data", f"{self.name}:{self.folder}"]

    def normalised(self, pixels, dtype):
        return cifar_pytorch.normalise(pixels, self.version, dtype)


class PictureData:
    """Images as PNG files just so large that their middle is used as it is: evaluation takes `side` of side 256/224."""

    def __init__(self, side, folder):
        self.side, self.folder, self.classes, self.paths = side, folder, CLASSES, []

    def write(self, path, pixels):
        whole, edge = round(self.side * 256 / 224), (round(self.side * 256 / 224) - self.side) // 2
        picture = np.zeros((whole, whole, 3), np.uint8)
        picture[edge : edge + self.side, edge : edge + self.side] = pixels.permute(1, 2, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, compress_level=1)
        return str(path)

    def prepare(self, train, labels, test):
        for i, (pixels, label) in enumerate(zip(train, labels)):
            self.write(self.folder / f"train/class{label}/{i:04}.png", pixels)
        for label in range(CLASSES):
            self.write(self.folder / f"val/class{label}/0.png", train[0])
        self.paths = [self.write(self.folder / f"test/{i:04}.png", pixels) for i, pixels in enumerate(test)]

    def predict_options(self):
        return ["--images", *self.paths]

    def train_options(self):
        return ["--data", f"imagenet:{self.folder}"]

    def normalised(self, pixels, dtype):
        mean, std = (torch.tensor(v, dtype=dtype).view(3, 1, 1) for v in (MEAN, DEVIATION))
        return (pixels.to(dtype) / 255 - mean) / std


def make_data(name, side, folder):
    if name in IMAGENET:
        return PictureData(side, folder)
    return CIFARData("cifar100" if name == DENSENET_BC else "cifar10", folder)


def walsh(args, command, *options):
    done = subprocess.run([args.walsh, command, *map(str, options)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"walsh {command} failed: {done.stderr.strip()}")


def compare_evaluation(args, name, folder):
    """Largest differences from float64 over the range of the logits: Walsh's and PyTorch's float32."""
    generator = torch.Generator().manual_seed(args.seed)
    data = make_data(name, args.image_size, folder / "evaluate")
    pixels = random_images(args.images, data.side, generator)
    data.prepare(pixels[:CLASSES], torch.arange(min(len(pixels), CLASSES)), pixels)
    model = make_network(name, 1000 if name in IMAGENET else data.classes)
    randomise(model, generator)
    settle_statistics(model, data.normalised(pixels, torch.float32), generator)
    weights, out = folder / f"{name}.safetensors", folder / f"{name}.npy"
    about = {} if data.side in (32, 224) else {"image_size": str(data.side)}  # what no state_dict says
    safetensors.torch.save_file(model.state_dict(), weights, about)
    walsh(args, "predict", "--weights", weights, "--model", name, *data.predict_options(), "--out", out)
    with torch.no_grad():
        single = model.eval()(data.normalised(pixels, torch.float32)).double()
        double = model.double()(data.normalised(pixels, torch.float64))
    extent = float(double.max() - double.min())
    got = torch.from_numpy(np.load(out)).double()
    return [float((y - double).abs().max()) / extent for y in (got, single)]


def train_pytorch(model, batches):
    trained = list(model.train().parameters())
    optimizer = torch.optim.SGD(trained, **RECIPE)
    for x, t in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), t).backward()
        optimizer.step()
    return model.state_dict()


def distance(got, want, initial, names):
    """L2 of the error over L2 of the update, of the named tensors together."""
    error = sum(float((got[n].double() - want[n]).square().sum()) for n in names)
    return (error / sum(float((want[n] - initial[n].double()).square().sum()) for n in names)) ** 0.5


def compare_training(args, name, folder):
    """Distances of the weights' and the statistics' updates from float64's: Walsh's and PyTorch's float32."""
    generator = torch.Generator().manual_seed(args.seed + 1)
    data = make_data(name, args.train_size, folder / "train")
    count = STEPS * args.batch
    pixels, labels = random_images(count, data.side, generator), torch.arange(count) * data.classes // count
    data.prepare(pixels, labels, pixels[:1])
    model = make_network(name, data.classes)
    randomise(model, generator, margin=True)
    initial = {n: t.clone() for n, t in model.state_dict().items()}
    weights, out = folder / f"{name}-initial.safetensors", folder / f"{name}-run"
    safetensors.torch.save_file(initial, weights)
    recipe = [text for key, value in RECIPE.items() for text in (f"--{key.replace('_', '-')}", value)]
    walsh(args, "train", "--model", name, "--init", weights, *data.train_options(), "--image-size", data.side,
          "--out", out, "--batch", args.batch, "--steps", STEPS, "--schedule", "constant", *recipe, "--math", "exact",
          "--no-nesterov", "--no-augment", "--no-shuffle")
    results = []
    for dtype in torch.float64, torch.float32:
        x = data.normalised(pixels, dtype)
        batches = zip(x.split(args.batch), labels.split(args.batch))
        results.append(train_pytorch(copy.deepcopy(model).to(dtype), batches))
    want, single = results
    got = safetensors.torch.load_file(out / "last.safetensors")
    tensors = {"weights": [n for n, _ in model.named_parameters()],
               "statistics": [n for n, _ in model.named_buffers() if "running" in n]}
    return {kind: [distance(state, want, initial, names) for state in (got, single)] for kind, names in tensors.items()}


def compare(args):
    torch.set_num_threads(os.cpu_count())
    print(f"{'network':20} {'logits: Walsh':>14} {'PyTorch':>9}   {'update: Walsh':>14} {'PyTorch':>9}   "
          f"{'statistics: Walsh':>18} {'PyTorch':>9}")
    wrong = 0
    for name in args.network or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            logits, trained = compare_evaluation(args, name, folder), compare_training(args, name, folder)
        good = logits[0] <= args.tolerance
        good &= all(got <= args.factor * single + 1e-6 for got, single in trained.values())
        wrong += not good
        print(f"{name:20} {logits[0]:14.2g} {logits[1]:9.2g}   {trained['weights'][0]:14.2g} "
              f"{trained['weights'][1]:9.2g}   {trained['statistics'][0]:18.2g} {trained['statistics'][1]:9.2g}"
              f"{'' if good else '  out of tolerance'}", flush=True)
    return wrong > 0


def main():
    parser = argparse.ArgumentParser(description="Compares the logits and two training steps of networks with PyTorch.")
    parser.add_argument("network", nargs="*", help="default: all")
    parser.add_argument("--walsh", type=pathlib.Path, default=ROOT / "build/apps/walsh", help="default: %(default)s")
    parser.add_argument("--image-size", type=int, default=224, help="of evaluation (default: %(default)s)")
    parser.add_argument("--images", type=int, default=4, help="of evaluation (default: %(default)s)")
    parser.add_argument("--train-size", type=int, default=112, help="of training (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="of training, at least 5 (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="of logits, of their range (default: %(default)s)")
    parser.add_argument("--factor", type=float, default=5, help="of PyTorch's float32 error (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    args = parser.parse_args()
    for name in args.network:
        if name not in NAMES:
            parser.error(f"no network '{name}': expected some of {', '.join(NAMES)}")
    return compare(args)


if __name__ == "__main__":
    sys.exit(main())
