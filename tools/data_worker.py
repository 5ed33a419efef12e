"""The torchvision contender of compare_data.py: a line of JSON when it is set up, then, for each number read from stdin,
one with the time of loading so many images, and the processors' time that it took. Arguments: a JSON object with folder,
batch, workers and size."""
import json
import resource
import sys
import time

import torch
import torchvision
from torchvision import datasets

from imagenet_pytorch import training_transform


def processor_seconds():
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main():
    wanted = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(1)
    images = datasets.ImageFolder(wanted["folder"], training_transform(wanted["size"]))
    print(json.dumps({"version": f"torchvision {torchvision.__version__}"}), flush=True)
    for line in sys.stdin:
        order = torch.randperm(int(line)) % len(images)
        loader = torch.utils.data.DataLoader(torch.utils.data.Subset(images, order.tolist()), wanted["batch"],
                                             num_workers=wanted["workers"], drop_last=True)
        start, used, count = time.perf_counter(), processor_seconds(), 0
        for batch, _ in loader:
            count += len(batch)
        del batch, loader  # its processes end, and their time is known
        print(json.dumps({"images": count, "seconds": time.perf_counter() - start,
                          "processor_seconds": processor_seconds() - used}), flush=True)


main()
