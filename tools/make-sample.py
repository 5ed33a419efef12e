#!/usr/bin/env python3
"""Makes engine/data/sample from the official CIFAR-10 binary folder: the first images of each class, in file order.

example: tools/make-sample.py cifar-10-batches-bin engine/data/sample
"""
import argparse
import pathlib

RECORD = 1 + 3 * 32 * 32
CLASSES = 10


def records(folder, names):
    for name in names:
        content = (folder / name).read_bytes()
        if len(content) % RECORD:
            raise SystemExit(f"{folder / name}: expected a multiple of {RECORD} bytes, found {len(content)}")
        for start in range(0, len(content), RECORD):
            yield content[start:start + RECORD]


def balanced(source, each):
    """The first `each` records of every class, in the order of the source."""
    count = [0] * CLASSES
    chosen = []
    for record in source:
        if count[record[0]] < each:
            count[record[0]] += 1
            chosen.append(record)
        if len(chosen) == each * CLASSES:
            return b"".join(chosen)
    raise SystemExit(f"expected {each} images of each class, found {count}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="folder with data_batch_1.bin ... and test_batch.bin")
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("--train", type=int, default=200, help="training images a class (default 200)")
    parser.add_argument("--test", type=int, default=100, help="test images a class (default 100)")
    args = parser.parse_args()
    train = balanced(records(args.source, [f"data_batch_{i}.bin" for i in range(1, 6)]), args.train)
    test = balanced(records(args.source, ["test_batch.bin"]), args.test)
    names = (args.source / "batches.meta.txt").read_text().split()
    args.target.mkdir(parents=True, exist_ok=True)
    (args.target / "data_batch_1.bin").write_bytes(train)
    (args.target / "test_batch.bin").write_bytes(test)
    (args.target / "batches.meta.txt").write_text("\n".join(names) + "\n")


if __name__ == "__main__":
    main()
