#!/usr/bin/env python3
"""Trains a ResNet for CIFAR in PyTorch by Walsh's recipe, so that what is learnt can be compared: the peer of

    walsh train --model M --data D --head H --epochs E --batch B --lr L --schedule onecycle --weight-decay W --seed S

The same initial law, augmentation, normalisation, optimizer, weight decay, schedule and last incomplete batch (left out
of an epoch), in float32 with channels_last; other random numbers. Prints the lines that Walsh prints, an epoch each.

    tools/learn_pytorch.py --model resnet20 --data cifar10:data/cifar-10-batches-bin --epochs 10 --lr 0.4
"""
import argparse
import pathlib
import time

import torch
import torch.nn.functional as F

from cifar_pytorch import VERSIONS, augment, normalise, read_all
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


def batch_of(pixels, version):
    return normalise(pixels, version).contiguous(memory_format=torch.channels_last)


def train_epoch(model, optimizer, schedule, data, version, batch, generator):
    totals = Totals()
    model.train()
    pixels, labels = data
    order = torch.randperm(len(labels), generator=generator)
    for chosen in order[: len(order) // batch * batch].split(batch):
        rate = schedule.get_last_lr()[0]
        logits = model(batch_of(augment(pixels[chosen], generator), version))
        loss = F.cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        totals.add(loss, logits, labels[chosen])
    return totals, rate


def evaluate(model, data, version, batch):
    totals = Totals()
    model.eval()
    with torch.inference_mode():
        for pixels, labels in zip(*(part.split(batch) for part in data)):
            logits = model(batch_of(pixels, version))
            totals.add(F.cross_entropy(logits, labels), logits, labels)
    return totals


def learn(args, version, folder):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_set, test_set = (read_all(folder, version, pattern) for pattern in (version.train, version.test))
    steps = len(train_set[1]) // args.batch
    model = ResNet(int(args.model.removeprefix("resnet")), make_head(args.head, version.classes, args.head_seed))
    initialise(model)
    model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, args.lr, 0.9, args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * steps,
                                                   cycle_momentum=False)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{args.model}, {args.head} head, by PyTorch {torch.__version__}: {parameters} parameters, {args.threads} "
          f"threads; epochs {args.epochs}, batch {args.batch}, lr {args.lr:g}", flush=True)
    for epoch in range(args.epochs):
        start = time.perf_counter()
        trained, rate = train_epoch(model, optimizer, schedule, train_set, version, args.batch, generator)
        seconds = time.perf_counter() - start
        tested = evaluate(model, test_set, version, args.batch)
        print(f"epoch {epoch + 1}/{args.epochs}: train {trained}, test {tested}, lr {rate:.4g}, "
              f"{trained.images / seconds:.0f} images/s", flush=True)


def parse():
    parser = argparse.ArgumentParser(description="Trains a ResNet for CIFAR in PyTorch by Walsh's recipe.")
    parser.add_argument("--model", default="resnet20", choices=[f"resnet{n}" for n in (20, 32, 44, 56, 110)])
    parser.add_argument("--data", required=True, help="cifar10:DIR or cifar100:DIR, a folder of binary files")
    parser.add_argument("--head", default="learned", choices=HEADS, help="default: %(default)s")
    parser.add_argument("--head-seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=0.4, help="the schedule's highest (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    args = parser.parse_args()
    name, _, folder = args.data.partition(":")
    if name not in VERSIONS or not folder:
        parser.error(f"--data {args.data}: expected cifar10:DIR or cifar100:DIR")
    return args, VERSIONS[name], pathlib.Path(folder)


if __name__ == "__main__":
    learn(*parse())
