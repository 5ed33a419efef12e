#!/usr/bin/env python3
"""Trains a network in PyTorch by Walsh's recipe, so that what is learnt can be compared: the peer of

    walsh train --model M --data D --head H --epochs E --batch B --lr L --schedule onecycle --weight-decay W --seed S

The same initial law, augmentation, normalisation, optimizer, weight decay, schedule and last incomplete batch (left out
of an epoch), in float32 with channels_last; other random numbers. Prints the lines that Walsh prints, an epoch each.
--init W --epochs 0 only evaluates a weights file. imagenet: and most networks need torchvision.

    tools/learn_pytorch.py --model resnet20 --data cifar10:data/cifar-10-batches-bin --epochs 10 --lr 0.4
    tools/learn_pytorch.py --model resnet18 --data imagenet:data/tiny-imagenet --image-size 64 --epochs 8 --lr 0.2
"""
import argparse
import pathlib
import time

import torch
import torch.nn.functional as F

import cifar_pytorch
from networks_pytorch import CIFAR_RESNETS, NAMES, image_size, make_network
from resnet_pytorch import HEADS, ResNet, initialise, make_head, make_optimizer


class Totals:
    """Loss and error over the images of an epoch."""

    def __init__(self):
        self.images, self.loss, self.wrong = 0, 0.0, 0

    def add(self, mean_loss, logits, labels):
        self.images += len(labels)
        self.loss += mean_loss.item() * len(labels)
        self.wrong += (logits.argmax(1) != labels).sum().item()

    def __str__(self):
        return f"loss {self.loss / self.images:.4f} error {100 * self.wrong / self.images:.2f} %"


def forward(model, x):
    return model(x.contiguous(memory_format=torch.channels_last))


def train_epoch(model, optimizer, schedule, data, batch, generator):
    totals = Totals()
    model.train()
    for x, labels in data.train(batch, generator):
        rate = schedule.get_last_lr()[0]
        logits = forward(model, x)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        totals.add(loss, logits, labels)
    return totals, rate


def evaluate(model, data, batch):
    totals = Totals()
    model.eval()
    with torch.inference_mode():
        for x, labels in data.test(batch):
            logits = forward(model, x)
            totals.add(F.cross_entropy(logits, labels), logits, labels)
    return totals


def make_data(args):
    if args.kind in cifar_pytorch.VERSIONS:
        return cifar_pytorch.Cifar(args.folder, cifar_pytorch.VERSIONS[args.kind])
    from imagenet_pytorch import ImageNet  # only where needed: it takes torchvision

    return ImageNet(args.folder, args.image_size or image_size(args.model))


def make_model(args, classes):
    if args.head == "learned":
        model = make_network(args.model, classes)
    else:
        model = ResNet(int(args.model.removeprefix("resnet")), make_head(args.head, classes, args.head_seed))
    initialise(model)
    if args.init:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(args.init))
    return model.to(memory_format=torch.channels_last)


def learn(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    data = make_data(args)
    model = make_model(args, data.classes)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{args.model}, {args.head} head, by PyTorch {torch.__version__}: {parameters} parameters, {args.threads} "
          f"threads; epochs {args.epochs}, batch {args.batch}, lr {args.lr:g}", flush=True)
    if not args.epochs:
        print(f"test {evaluate(model, data, args.batch)}")
        return
    optimizer = make_optimizer(model, args.lr, 0.9, args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * (data.train_images // args.batch), cycle_momentum=False)
    for epoch in range(args.epochs):
        start = time.perf_counter()
        trained, rate = train_epoch(model, optimizer, schedule, data, args.batch, generator)
        seconds = time.perf_counter() - start
        tested = evaluate(model, data, args.batch)
        print(f"epoch {epoch + 1}/{args.epochs}: train {trained}, test {tested}, lr {rate:.4g}, "
              f"{trained.images / seconds:.0f} images/s", flush=True)


def parse():
    parser = argparse.ArgumentParser(description="Trains a network in PyTorch by Walsh's recipe.")
    parser.add_argument("--model", default="resnet20", choices=NAMES, help="default: %(default)s")
    parser.add_argument("--data", required=True, help="cifar10:DIR or cifar100:DIR, a folder of binary files, or "
                        "imagenet:DIR, with train/ and val/")
    parser.add_argument("--image-size", type=int, default=0, help="of imagenet: (default: the network's)")
    parser.add_argument("--head", default="learned", choices=HEADS,
                        help="fixed ones are for CIFAR's ResNets (default: %(default)s)")
    parser.add_argument("--head-seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--init", help="start from these weights, a state_dict as safetensors")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=0.4, help="the schedule's highest (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    args = parser.parse_args()
    args.kind, _, folder = args.data.partition(":")
    if args.kind not in (*cifar_pytorch.VERSIONS, "imagenet") or not folder:
        parser.error(f"--data {args.data}: expected cifar10:DIR, cifar100:DIR or imagenet:DIR")
    if args.head != "learned" and args.model not in CIFAR_RESNETS:
        parser.error(f"--head {args.head}: expected one of {', '.join(CIFAR_RESNETS)}, not {args.model}")
    args.folder = pathlib.Path(folder)
    return args


if __name__ == "__main__":
    learn(parse())
