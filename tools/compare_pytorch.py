#!/usr/bin/env python3
"""Walsh beside PyTorch on the same cores: images a second, peak memory and time to the first step, in one run; or, by
--head, classifier heads alone; or, by --gemm, its matrix products beside OpenBLAS's.

Contenders: PyTorch eager (NCHW), eager with channels_last, torch.compile, and `walsh bench step`. Each is a process of
its own that is set up once and then times K steps whenever it is its turn (Walsh starts anew each time), so that drift
hits all alike and nobody runs beside another; the median of the turns counts. PyTorch gets its images as normalised
floats; Walsh begins with bytes, and its evaluation includes loss and errors. Training is SGD with momentum 0.9 and
weight decay 1e-4, the recipe of CIFAR ResNets, on random images of the network's own size.

The first step is timed from the start of the process, compilation included: with what earlier runs left in the caches
of compiled code, and "cold" without. The share of the FMA peak counts the arithmetic of convolutions and matrix
products as if computed directly, over the peak that `walsh bench` measured in the same turn.

A head's step is forward, loss, backward (the features' gradient too) and update of one batch, learned heads of PyTorch
and of Walsh beside Walsh's Hadamard head; the memory of Walsh's heads is what they keep on the device.

PyTorch is pip's newest in a virtual environment of this tool's own, ~/.cache/walsh/pytorch or --venv, unless --python
names an interpreter that has one. torch.compile needs a C++ compiler, and is left out where there is none.

    tools/compare_pytorch.py
    tools/compare_pytorch.py --case train:resnet20 --rounds 7 --json > comparison.json
    tools/compare_pytorch.py --case train:densenet169 --batch 8 --classes 1000
    tools/compare_pytorch.py --head
    tools/compare_pytorch.py --gemm
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import urllib.request

from peers import OpenBLAS, PyTorch, Walsh, WalshHead, WalshProduct

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = "train:resnet20", "train:resnet56", "evaluate:resnet56"
MODES = "train", "evaluate"
STYLES = "eager", "channels_last", "compile"
HEADS = ("64,10", "64,100", "342,100", "512,1000", "960,1000", "1664,1000", "2048,1000", "512,33278", "2048,18291",
         "512,1000000")
LARGEST_LEARNED = 1 << 30  # bytes of a learned head's weights, gradients and momentum; beyond, only Hadamard's
GEMM_SIZES = 512, 1024, 2048
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # a tenth of the size of those for GPUs, the same on a CPU
LEAST_FREE = 8 << 30  # bytes, for PyTorch with what it brings for GPUs


def note(text):
    print(text, file=sys.stderr, flush=True)


def opened(title, makers):
    """The contenders that can run: a failure of one is told and leaves the others."""
    made = []
    for make in makers:
        try:
            made.append(make())
        except RuntimeError as failure:
            note(f"{title}: left out: {failure}")
    return made


def take_turns(title, contenders, rounds):
    samples = [[] for _ in contenders]
    for turn in range(rounds):
        note(f"{title}: turn {turn + 1} of {rounds}")
        for contender, its in zip(contenders, samples):
            its.append(contender.turn())
    return samples


def make_row(contender, samples, peaks, unit):
    rates = [sample["rate"] for sample in samples]
    row = {"contender": contender.name, unit: statistics.median(rates), "least": min(rates), "most": max(rates),
           "turns": rates}
    if peaks:
        row["peak_share"] = statistics.median(rate / peak for rate, peak in zip(rates, peaks))
    return {**row, **contender.facts()}


def compare(title, makers, rounds, unit):
    """A row for each contender; those of Walsh are also held against the best of the others."""
    contenders = opened(title, makers)
    samples = take_turns(title, contenders, rounds)
    peaks = [sample["peak"] for its in samples for sample in its if "peak" in sample]
    rows = [make_row(contender, its, peaks, unit) for contender, its in zip(contenders, samples)]
    for contender in contenders:
        contender.close()
    theirs = [row for row in rows if not row["contender"].startswith(Walsh.name)]
    for row in rows if theirs else []:
        if row["contender"].startswith(Walsh.name):
            row["ratio"] = row[unit] / max(r[unit] for r in theirs)
            if "rss_mib" in row:
                row["memory_ratio"] = row["rss_mib"] / min(r["rss_mib"] for r in theirs)
    return rows


def compare_models(args):
    rows = []
    for case in args.case:
        makers = [lambda style=style: PyTorch(args, style, case) for style in args.style]
        makers += [lambda kind=kind: Walsh(args, case, kind) for kind in args.kind]
        note(f"{case}: setting up")
        rows += [{"case": case, "batch": args.batch, "threads": args.threads, **row}
                 for row in compare(case, makers, args.rounds, "images_per_second")]
    return rows


def compare_heads(args):
    rows = []
    for size in args.head or HEADS:
        features, classes = map(int, size.split(","))
        makers = [lambda: WalshHead(args, size, "hadamard")]
        if 12 * features * classes <= LARGEST_LEARNED:
            makers = [lambda: PyTorch(args, "eager", f"head:{size}"), lambda: WalshHead(args, size, "learned")] + makers
        rows += [{"case": size, "batch": args.batch, "threads": args.threads,
                  "ms": 1e3 * args.batch / row["images_per_second"], **row}
                 for row in compare(f"head {size}", makers, args.rounds, "images_per_second")]
    return rows


def compare_products(args):
    rows = []
    for threads in sorted({1, args.threads}):
        for size in GEMM_SIZES:
            case = f"gemm:{size}"
            makers = [lambda: OpenBLAS(args, size, threads), lambda: WalshProduct(args, size, threads)]
            rows += [{"case": case, "threads": threads, **row}
                     for row in compare(f"{case}, threads {threads}", makers, args.rounds, "gflops")]
    return rows


COLUMNS = (("case", "case", ""), ("threads", "threads", "d"), ("contender", "contender", ""),
           ("ms", "ms", ".3f"), ("images_per_second", "images/s", ".1f"), ("gflops", "GFLOP/s", ".1f"),
           ("least", "from", ".1f"), ("most", "to", ".1f"), ("ratio", "ratio", ".2f"), ("rss_mib", "MiB", ".0f"),
           ("head_mib", "head MiB", ".2f"), ("parameters", "parameters", ".0f"), ("memory_ratio", "memory", ".2f"), ("first_step_s", "first step s", ".1f"),
           ("first_step_cold_s", "cold", ".1f"), ("peak_share", "of FMA peak", ".1%"))


def print_table(rows):
    table = [[heading] + [format(row[key], form) if key in row else "" for row in rows]
             for key, heading, form in COLUMNS]
    columns = [(cells, max(map(len, cells)), form) for cells, (_, _, form) in zip(table, COLUMNS) if any(cells[1:])]
    for i in range(len(rows) + 1):
        print("  ".join(cells[i].rjust(width) if form else cells[i].ljust(width) for cells, width, form in columns))
    for name, version in dict.fromkeys((row["contender"], row["version"]) for row in rows if "version" in row):
        print(f"{name}: {version}")


def cpu_index():
    """Options of pip: beside PyPI, the index of CPU wheels, where it can be reached; pip prefers those."""
    try:
        urllib.request.urlopen(f"{CPU_WHEELS}/torch/", timeout=10).close()
    except OSError:
        return []
    return ["--extra-index-url", CPU_WHEELS]


def make_environment(folder):
    """The Python of a virtual environment that has PyTorch; made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=sys.stderr)
    if subprocess.run([python, "-c", "import torch, torchvision, numpy"], capture_output=True).returncode:
        note(f"installing pip's newest torch into {folder}: up to 6 GB, once")
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE:
            raise RuntimeError(f"{folder}: expected {LEAST_FREE >> 30} GB of free space, found {free / 2**30:.1f}")
        subprocess.run([python, "-m", "pip", "install", "--upgrade", *cpu_index(), "torch", "torchvision",
                        "numpy"], check=True, stdout=sys.stderr)
    return str(python)


def at_least_one(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def model_case(text):
    mode, model = text.split(":")
    if mode not in MODES or not model:
        raise ValueError
    return text


def head_size(text):
    features, classes = map(at_least_one, text.split(","))
    return f"{features},{classes}"


def parse():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description="Times Walsh beside PyTorch, in turns, on the same cores.")
    parser.add_argument("--case", metavar="MODE:MODEL", type=model_case, action="append",
                        help=f"only this case, {' or '.join(MODES)} a model (default: {' '.join(CASES)})")
    parser.add_argument("--style", choices=STYLES, action="append", help="only this PyTorch (default: all)")
    parser.add_argument("--kind", choices=Walsh.KINDS, action="append",
                        help="of Walsh: fast (default), with --math exact, or with --store f16; may be given again")
    parser.add_argument("--head", nargs="*", metavar="N,C", type=head_size,
                        help=f"instead, classifier heads of these features and classes (default: {' '.join(HEADS)})")
    parser.add_argument("--gemm", action="store_true",
                        help=f"instead, matrix products of {', '.join(map(str, GEMM_SIZES))} cubed beside OpenBLAS's,"
                        " with one thread and with --threads")
    parser.add_argument("--batch", type=at_least_one, default=128, help="images a step (default: %(default)s)")
    parser.add_argument("--classes", type=at_least_one, default=10, help="of a case (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--steps", type=at_least_one,
                        help="steps of a turn (default: 3, heads 10), or products (default: 9)")
    parser.add_argument("--threads", type=at_least_one, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--venv", type=pathlib.Path, default=cache / "walsh" / "pytorch", help="default: %(default)s")
    parser.add_argument("--python", help="an interpreter that has PyTorch, torchvision and numpy, instead of --venv")
    parser.add_argument("--openblas", help="the library's file (default: the system's)")
    parser.add_argument("--walsh", default=str(ROOT / "build/apps/walsh"), help="the command (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    args.case, args.style = args.case or list(CASES), args.style or list(STYLES)
    args.kind = args.kind or ["fast"]
    args.steps = args.steps or (9 if args.gemm else 3 if args.head is None else 10)
    return args


def main():
    args = parse()
    if not os.access(args.walsh, os.X_OK):
        note(f"{args.walsh}: expected the built command; see --walsh")
        return 2
    try:
        if not args.gemm:
            args.python = args.python or make_environment(args.venv)
        rows = (compare_products if args.gemm else compare_models if args.head is None else compare_heads)(args)
    except (RuntimeError, subprocess.CalledProcessError) as failure:
        note(f"compare_pytorch.py: {failure}")
        return 1
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
