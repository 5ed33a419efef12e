#!/usr/bin/env python3
"""Walsh's images of an ImageNet folder beside PIL's, and its loader beside torchvision's.

    tools/compare_data.py --transform DIR        # evaluation: differences from PIL's, in steps of 255
    tools/compare_data.py --speed DIR --python P  # training: images a second; P has torch and torchvision

DIR holds train/ and val/, each with a folder of images a class. --transform needs Debian's python3-pil and
python3-numpy. --speed lets both load the training images in turns: torchvision's ImageFolder, RandomResizedCrop, flip,
ToTensor and Normalize through a DataLoader, and `walsh bench data`, which ends in bytes (the device normalises them).
Images a core second are of the processors' time, all processes and threads together, so that they do not depend on what
else the machine does.
"""
import argparse
import ctypes
import json
import pathlib
import statistics
import subprocess
import sys

from peers import TOOLS, Worker

ROOT = TOOLS.parent


class Options(ctypes.Structure):
    """walsh_dataset_options"""
    _fields_ = [("image_size", ctypes.c_int), ("skip_bad_images", ctypes.c_bool), ("whole", ctypes.c_bool)]


def walsh_image(library, path, size):
    import numpy as np

    data, paths = ctypes.c_void_p(), (ctypes.c_char_p * 1)(str(path).encode())
    pixels = np.zeros((size, size, 4), np.uint8)
    failed = library.walsh_dataset_open_images(paths, ctypes.c_size_t(1), ctypes.byref(Options(size)),
                                               ctypes.byref(data))
    failed = failed or library.walsh_dataset_image(data, ctypes.c_size_t(0), pixels.ctypes.data_as(ctypes.c_void_p))
    library.walsh_dataset_close(ctypes.byref(data))
    if failed:
        library.walsh_message.restype = ctypes.c_char_p
        raise RuntimeError(library.walsh_message().decode())
    return pixels[..., :3]


def pil_image(path, size):
    """torchvision's Resize(round(256/224 size)) and CenterCrop(size)."""
    import numpy as np
    from PIL import Image

    picture, side = Image.open(path).convert("RGB"), round(size * 256 / 224)
    shorter = min(picture.size)
    picture = picture.resize([side * extent // shorter for extent in picture.size], Image.BILINEAR)
    left, top = (round((extent - size) / 2) for extent in picture.size)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def compare_transform(args):
    import numpy as np

    library = ctypes.CDLL(str(args.library))
    files = sorted(path for path in args.transform.glob("*/*/*") if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    errors = []
    for path in files:
        difference = np.abs(walsh_image(library, path, args.size).astype(int) - pil_image(path, args.size))
        errors.append((difference.mean(), int(difference.max()), path))
    worst = max(errors)
    print(f"{len(errors)} images at {args.size}: mean difference {statistics.mean(e[0] for e in errors):.4f} of 255, at "
          f"most {worst[0]:.4f} ({worst[2]}); largest difference of a pixel {max(e[1] for e in errors)}")
    return 0


def walsh_turn(args):
    command = [args.walsh, "bench", "data", "--data", f"imagenet:{args.speed}", "--batch", str(args.batch), "--loaders",
               str(args.workers), "--image-size", str(args.size), "--repeats", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    row = next(row for row in json.loads(done.stdout) if row["op"] == "data_train")
    return row["images_per_second"], row["images_per_core_second"]


def torchvision_turn(worker, images):
    answer = worker.ask(images)
    return answer["images"] / answer["seconds"], answer["images"] / answer["processor_seconds"]


def compare_speed(args):
    wanted = {"folder": str(args.speed / "train"), "batch": args.batch, "workers": args.workers, "size": args.size}
    worker = Worker("torchvision", [args.python, TOOLS / "data_worker.py"], wanted)
    samples = {worker.ready["version"]: [], "walsh": []}
    theirs, ours = samples.values()
    for turn in range(args.rounds):
        print(f"turn {turn + 1} of {args.rounds}", file=sys.stderr)
        theirs.append(torchvision_turn(worker, args.images))
        ours.append(walsh_turn(args))
    worker.close()
    print(f"{'loader':20} {'images/s':>10} {'images/core second':>20}")
    for name, turns in samples.items():
        print(f"{name:20} {statistics.median(t[0] for t in turns):10.0f} {statistics.median(t[1] for t in turns):20.0f}")
    print(f"ratio a core {statistics.median(o[1] / t[1] for o, t in zip(ours, theirs)):.2f}, "
          f"in time {statistics.median(o[0] / t[0] for o, t in zip(ours, theirs)):.2f}")
    return 0


def parse():
    parser = argparse.ArgumentParser(description="Walsh's images beside PIL's, its loader beside torchvision's.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--transform", type=pathlib.Path, metavar="DIR", help="compare evaluation's images with PIL's")
    what.add_argument("--speed", type=pathlib.Path, metavar="DIR", help="compare the loader with torchvision's")
    parser.add_argument("--size", type=int, default=224, help="of the images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes or threads that load (default: %(default)s)")
    parser.add_argument("--images", type=int, default=320, help="of a turn of torchvision's (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: %(default)s)")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch and torchvision")
    parser.add_argument("--walsh", default=str(ROOT / "build/apps/walsh"), help="the command (default: %(default)s)")
    parser.add_argument("--library", default=ROOT / "build/engine/libwalsh.so", help="default: %(default)s")
    return parser.parse_args()


def main():
    args = parse()
    try:
        return compare_transform(args) if args.transform else compare_speed(args)
    except RuntimeError as failure:
        print(f"compare_data.py: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
