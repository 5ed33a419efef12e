"""A PyTorch contender of compare_pytorch.py: a line of JSON after the first step, then, for each number read from
stdin, one with the time of so many steps. Arguments: a JSON object with case, classes, style, batch and
threads."""
import json
import resource
import sys
import time

import torch

from networks_pytorch import image_size, make_network


def make_head_step(features, classes, batch):
    model = torch.nn.Linear(features, classes)
    inputs, labels = torch.rand(batch, features, requires_grad=True), torch.arange(batch) % classes
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def train():
        optimizer.zero_grad()
        inputs.grad = None
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return train


def make_step(mode, name, classes, style, batch):
    # Compiled too, the images are NCHW: the compiler chooses layouts itself.
    layout = torch.channels_last if style == "channels_last" else torch.contiguous_format
    model, size = make_network(name, classes), image_size(name)
    model.to(memory_format=layout).train(mode == "train")
    images = torch.randn(batch, 3, size, size).to(memory_format=layout)
    labels = torch.arange(batch) % classes
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(model) if style == "compile" else model

    def train():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run(images), labels).backward()
        optimizer.step()

    def evaluate():
        with torch.inference_mode():
            run(images)

    return train if mode == "train" else evaluate


def tell(**facts):
    rss = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(dict(facts, rss=rss, version=torch.__version__)), flush=True)


def main():
    wanted = json.loads(sys.argv[1])
    mode, name = wanted["case"].split(":")
    torch.set_num_threads(wanted["threads"])
    torch.manual_seed(1)
    if mode == "head":
        step = make_head_step(*map(int, name.split(",")), wanted["batch"])
    else:
        step = make_step(mode, name, wanted["classes"], wanted["style"], wanted["batch"])
    step()
    tell()
    for line in sys.stdin:
        step()  # warm again, after the others' turns
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        tell(seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
