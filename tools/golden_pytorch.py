#!/usr/bin/env python3
"""Makes tests/golden/NETWORK-HEAD-START.safetensors: three SGD steps of a network by PyTorch in float64.

The recipe: the sample's first 48 training images in order (three batches of 16), lr 0.001, momentum 0.9, weight decay
1e-4 on every trained parameter but fc.scale, no augmentation. tests/check_golden.c repeats it without PyTorch. The
networks for ImageNet take the same images of 32x32 pixels, and a weight decay of 1e-2, about as much as their gradients,
beside whose errors in float32 less would not show.

A ReLU whose input is near zero flips in any float32 program, which moves single weights by per cents. So errors are
measured by whole tensors, against those of PyTorch in float32 over several draws (other initial values, other images);
and there are two starts:
    he      ordinary values. Hundreds of ReLUs flip, so that whole updates of float32 programs differ by about 1e-2.
    margin  batch norm's biases at 3 times its weights, minus for every fourth channel, so that few inputs of ReLUs are
            near zero, and only seeds where the nearest is at least 5e-6 (MARGINS) of its tensor's standard deviation
            away, some times float32's error: nothing flips, nor does a pooling choose another maximum. Weights are small beside their gradients, so that rounding them costs
            little. Updates of whole convolutions then agree to about 1e-5, which shows small mistakes too.

Initial values (so that C and Python start from the same bits, whatever initialiser the engine has)
    Every float tensor of the state has a number: its place in PyTorch's state_dict. Element i (flat, OIHW) is
        sign * offset + (u(i) - 0.5) * scale,  u(i) = walsh_rng_uniform(walsh_rng_make(seed, WALSH_RNG_INIT, number), i)
    in float32, where sign is -1 if every > 0 and i % every == every - 1, else 1. `scale` is 0 or a power of two, so
    that only the sum rounds.

The file (safetensors; metadata: `golden`, a JSON object with the tensors' names by number, the seed, the head's seed,
the recipe, and `subset`, by network)
    updates     F32 [k + ..] update (final - initial) of k = min(size, subset) elements of each tensor: the j-th is
                             element (j * step) mod size
    rules       F64 [..][6]  of each tensor: size, offset, scale, every, step, error
    losses      F64 [3]      the loss of each step; losses.error F64 [1], the largest relative error
    logits      F64 [16][10] evaluation mode after the steps, first 16 test images; logits.error F64 [1], L2 / L2
    model.error F64 [2]      all trained tensors, an element for size / k: L2(error) / L2(update), / L2(weights)
    q           F32 [10][64] fixed heads only (walsh_numpy.py says how they are made)
Every error is what PyTorch in float32 does, the largest over the draws; a tensor's is L2(error) / L2(update), of the k.
"""
import argparse
import contextlib
import json
import math
import pathlib
import sys

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import walsh_numpy
from cifar_pytorch import CIFAR10, normalise, read_records
from networks_pytorch import make_network
from resnet_pytorch import HEADS, ResNet, make_head, make_optimizer

STARTS = "he", "margin"
SUBSETS = {"resnet20": 256, "resnet50": 32, "densenet121": 16, "shufflenet": 32}  # the networks
MARGINS = {"resnet20": 5e-6, "resnet50": 2e-6, "densenet121": 2e-6, "shufflenet": 2e-6}  # those with more ReLUs keep less
DECAYS = {"resnet20": 1e-4, "resnet50": 1e-2, "densenet121": 1e-2, "shufflenet": 1e-2}
CLASSES, BATCH, STEPS, TEST_IMAGES, HEAD_SEED = 10, 16, 3, 16, 7


def recipe(network):
    return dict(lr=0.001, momentum=0.9, weight_decay=DECAYS[network])


def initial_rule(start, name, shape):
    """(offset, scale, every). The scale of convolutions is the power of two nearest to the width of He's uniform."""
    small = start == "margin"
    if name == "fc.scale":
        return 7.75 if small else 10.0, 0.0, 0  # just under a power of two rounds least
    if "running" in name:
        return float(name.endswith("var")), 0.0, 0
    if len(shape) == 4:
        he = 2.0 ** round(math.log2(2 * math.sqrt(6 / (shape[0] * shape[2] * shape[3]))))
        return 0.0, he / 8 if small else he, 0
    if name.startswith(("fc.", "classifier.")):
        return 0.0, 1.0 if small and name.endswith("weight") else 0.25, 0
    if name.endswith("bias"):
        return (0.375, 2.0**-5, 4) if small else (0.0, 0.25, 0)
    return (0.125, 2.0**-5, 0) if small else (1.0, 0.25, 0)


def initial_state(model, start, seed):
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            offset, scale, every = initial_rule(start, name, tensor.shape)
            u = walsh_numpy.rng_uniform(seed, walsh_numpy.RNG_INIT, len(state), tensor.numel())
            offset = np.full(u.size, offset, np.float32)
            if every:
                offset[every - 1 :: every] *= -1
            state[name] = (offset + ((u - 0.5) * scale).astype(np.float32)).reshape(tensor.shape)
    return state


def read_images(path, first, count, dtype):
    pixels, labels = read_records(path, CIFAR10, first, count)
    return normalise(pixels, CIFAR10, dtype), labels


class TooNear(Exception):
    pass


class Margins(TorchDispatchMode):
    """Fails where an input of a ReLU is nearer to zero, or the two largest of a pooling's window to each other, than
    a fifth of `least`, in standard deviations. What is equal but for float64's rounding comes from equal pixels (or from
    zeros that are concatenated), and it does not matter on which side it falls."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def check(self, distances, x, least):
        distances = distances / x.std()
        if bool(((distances > 1e-12) & (distances < least)).any()):
            raise TooNear

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, x = function.overloadpacket.__name__, args[0].detach() if args and torch.is_tensor(args[0]) else None
        if name in ("relu", "relu_"):
            self.check(x.abs(), x, self.least)
        if name == "max_pool2d_with_indices":  # always 3x3, stride 2 here, and behind a ReLU: zeros make no difference
            windows = F.unfold(F.pad(x.flatten(0, 1)[:, None], [1] * 4), 3, stride=2)
            first, second = windows.topk(2, 1).values.unbind(1)
            self.check(first - second, x, self.least / 5)
        return function(*args, **(kwargs or {}))


def make_model(network, head, **options):
    if network == "resnet20":
        return ResNet(20, make_head(head, CLASSES, HEAD_SEED), **options)
    return make_network(network, CLASSES)


def run(data, network, start, head, seed, draw, dtype, margin=False,
        same_padding=False, decay_scale=False, bn_momentum=0.1, model={}, **wrong):
    """The three steps on the draw's 48 images. TooNear with `margin`, where the start's is not kept; the options after
    that are the self-test's wrong settings."""
    model = make_model(network, head, **model)
    initial = initial_state(model, start, seed)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in initial.items()}, strict=False)
    model.to(dtype).train()
    margins = Margins(MARGINS[network]) if margin and start == "margin" else contextlib.nullcontext()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = bn_momentum
        if same_padding and isinstance(module, nn.Conv2d) and module.stride == (2, 2) and module.kernel_size == (3, 3):
            module.padding = 0  # all of it right and below, as TensorFlow's SAME
            module.register_forward_pre_hook(lambda _, x: F.pad(x[0], (0, 1, 0, 1)))
    optimizer = make_optimizer(model, **{**recipe(network), **wrong}, decay_scale=decay_scale)
    losses = []
    for step in range(STEPS):
        x, t = read_images(data / "data_batch_1.bin", (draw * STEPS + step) * BATCH, BATCH, dtype)
        with margins:
            loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    final, count = model.state_dict(), SUBSETS[network]
    updates = {k: subset(final[k].double().numpy() - v.astype(np.float64), count) for k, v in initial.items()}
    with torch.no_grad():
        logits = model.eval()(read_images(data / "test_batch.bin", 0, TEST_IMAGES, dtype)[0]).double().numpy()
    return dict(model=model, seed=seed, initial=initial, updates=updates, losses=np.array(losses), logits=logits,
                count=count)


def subset_step(size):
    """About 0.618 of the size and coprime to it, so that any number of leading elements is spread over the tensor."""
    step = max(1, round(size * 0.618034))
    while math.gcd(step, size) != 1:
        step += 1
    return step


def subset(values, count):
    size = values.size
    return values.reshape(-1)[np.arange(min(size, count)) * subset_step(size) % size]


def errors(got, want):
    """By name, as in the file: each tensor, and the whole model, the logits and the losses."""

    def whole(part):
        return np.concatenate([part(name) * math.sqrt(p.numel() / min(p.numel(), count)) for name, p in trained])

    def distance(a, b):
        return np.linalg.norm(a - b) / np.linalg.norm(b)

    trained, count = list(want["model"].named_parameters()), want["count"]
    error = np.linalg.norm(whole(lambda name: got["updates"][name] - want["updates"][name]))
    update, weights = whole(want["updates"].get), whole(lambda name: subset(want["initial"][name], count))
    return {**{name: distance(got["updates"][name], update) for name, update in want["updates"].items()},
            "model": error / np.array([np.linalg.norm(update), np.linalg.norm(weights)]),
            "logits": distance(got["logits"], want["logits"]),
            "losses": np.max(np.abs(got["losses"] / want["losses"] - 1))}


def float32_errors(data, network, start, head, draws):
    """The largest error of each name over the draws; and the first draw in float64, the golden run."""
    largest, golden, seed = {}, None, 0
    for draw in range(draws):
        want = None
        while want is None:
            seed += 1
            with contextlib.suppress(TooNear):
                want = run(data, network, start, head, seed, draw, torch.float64, margin=True)
        golden = golden or want
        for name, error in errors(run(data, network, start, head, seed, draw, torch.float32), want).items():
            largest[name] = np.maximum(largest.get(name, 0.0), error)
    return largest, golden


def write_golden(path, network, start, head, golden, error, draws):
    tensors = {"losses": golden["losses"], "logits": golden["logits"]}
    tensors |= {f"{name}.error": np.array(error[name]).reshape(-1) for name in ("losses", "logits", "model")}
    initial = golden["initial"]
    tensors["updates"] = np.concatenate([golden["updates"][name] for name in initial]).astype(np.float32)
    tensors["rules"] = np.array([(value.size, *initial_rule(start, name, value.shape), subset_step(value.size),
                                  error[name]) for name, value in initial.items()], np.float64)
    if head != "learned":
        tensors["q"] = golden["model"].fc.q.float().numpy()
    about = dict(model=network, head=head, head_seed=HEAD_SEED, start=start, seed=golden["seed"], batch=BATCH,
                 steps=STEPS, data="sample", draws=draws, torch=torch.__version__, names=list(initial),
                 subset=golden["count"], **recipe(network))
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}  # save() takes them as they lie
    path.write_bytes(safetensors.numpy.save(tensors, {"golden": json.dumps(about, sort_keys=True)}))


SAME, DECAY = "padding SAME at stride 2", "weight decay on fc.scale"
WRONG = {
    "momentum 0.8": dict(momentum=0.8),
    "weight decay 0": dict(weight_decay=0.0),
    "batch norm eps 1e-3": dict(model=dict(eps=1e-3)),
    "padding replicate": dict(model=dict(padding_mode="replicate")),
    "padding reflect": dict(model=dict(padding_mode="reflect")),
    SAME: dict(same_padding=True),
    "batch norm momentum 0.09": dict(bn_momentum=0.09),
    DECAY: dict(decay_scale=True),
}


def caught(data, network, start, head, golden, error, wrong):
    """Prints what wrong settings do, in units of the tolerance (5 times PyTorch's error). Those seen clearly."""
    result = set()
    for title in wrong:
        found = errors(run(data, network, start, head, golden["seed"], 0, torch.float64, **WRONG[title]), golden)
        ratio = {name: found[name] / (5 * error[name]) for name in golden["updates"]}
        worst = max(ratio, key=ratio.get)
        exceeded = sum(r > 1 for r in ratio.values())
        whole = found["model"][0] / (5 * error["model"][0])
        print(f"{network:11} {head:11} {start:6} {title:24} {exceeded:3} of {len(ratio)} tensors, {ratio[worst]:8.3g} x ({worst}), "
              f"whole model {whole:.3g} x")
        result |= {title} if ratio[worst] > 1.5 else set()
    return result


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Makes the golden files of tests/check_golden.c with PyTorch.")
    parser.add_argument("--data", type=pathlib.Path, default=root / "engine/data/sample",
                        help="folder with data_batch_1.bin and test_batch.bin (default: %(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden", help="default: %(default)s")
    parser.add_argument("--network", choices=SUBSETS, action="append", help="only this one (default: all)")
    parser.add_argument("--head", choices=HEADS, action="append", help="only this head (default: all)")
    parser.add_argument("--draws", type=int, default=8, help="draws for PyTorch's float32 error (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's threads (default: %(default)s)")
    parser.add_argument("--selftest", action="store_true", help="write nothing; show what wrong settings would do")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    missed = set()
    for network in args.network or SUBSETS:
        first = network == "resnet20"  # with every head and start; the others show that their layers are right
        for head in args.head or HEADS if first else ["learned"]:
            wrong = [title for title in WRONG if first or "model" not in WRONG[title] and title != SAME]
            unnoticed = set(wrong) - ({DECAY} if head == "learned" else set())
            for start in STARTS if first else ["margin"]:
                error, golden = float32_errors(args.data, network, start, head, args.draws)
                if args.selftest:
                    unnoticed -= caught(args.data, network, start, head, golden, error, wrong)
                    continue
                args.out.mkdir(parents=True, exist_ok=True)
                path = args.out / f"{network}-{head}-{start}.safetensors"
                write_golden(path, network, start, head, golden, error, args.draws)
                tensor_errors = [error[name] for name in golden["updates"]]
                print(f"{path.name}: {path.stat().st_size} bytes, seed {golden['seed']}; float32 error: whole model "
                      f"{error['model'][0]:.2g} of the update, {error['model'][1]:.2g} of the weights, tensors "
                      f"{np.median(tensor_errors):.2g} (median) to {max(tensor_errors):.2g}, "
                      f"logits {error['logits']:.2g}")
            missed |= {f"{network}, {head}: {title}" for title in unnoticed if args.selftest}
    for title in sorted(missed):
        print(f"would pass: {title}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
