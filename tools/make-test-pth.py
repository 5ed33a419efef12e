#!/usr/bin/env python3
"""Makes tests/pth/*.pth, as PyTorch saves them: what tests/check_pth.py converts without PyTorch."""
import argparse
import collections
import pathlib

import torch


def state_dict():
    """Tensors of several types and layouts, whose elements in order are 0.5, 1.5, ... or 0, 1, ..."""
    count = torch.arange(24)
    values = (count + 0.5).view(2, 3, 4)
    return collections.OrderedDict({
        "conv.weight": torch.nn.Parameter((torch.arange(54) + 0.5).view(3, 2, 3, 3)),
        "channels_last": (torch.arange(54) + 0.5).view(3, 2, 3, 3).contiguous(memory_format=torch.channels_last),
        "transposed": values.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        "part": (torch.arange(60) - 35.5).view(5, 12)[3:],
        "bn.num_batches_tracked": torch.tensor(7),
        "half": values.half(), "brain": values.bfloat16(), "double": values.double(),
        "int": count.int(), "byte": count.byte(), "flag": count % 2 == 1, "empty": torch.zeros(0, 3),
    })


def main():
    parser = argparse.ArgumentParser(description="Makes the files of tests/check_pth.py with PyTorch.")
    parser.add_argument("out", type=pathlib.Path, nargs="?", default=pathlib.Path(__file__).parent.parent / "tests/pth")
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    torch.save(state_dict(), out / "zip.pth")
    torch.save(state_dict(), out / "legacy.pth", _use_new_zipfile_serialization=False)
    wrapped = {f"module.{name}": tensor for name, tensor in state_dict().items()}
    checkpoint = {"epoch": 3, "state_dict": wrapped, "best": torch.tensor(0.5),
                  "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
                  "args": argparse.Namespace(lr=0.1)}
    torch.save(checkpoint, out / "checkpoint.pth")
    torch.save(torch.nn.Linear(2, 2), out / "module.pth")


if __name__ == "__main__":
    main()
