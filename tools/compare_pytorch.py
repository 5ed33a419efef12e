#!/usr/bin/env python3
"""Walsh beside PyTorch on the same cores: images a second, peak memory and time to the first step, in one run.

Contenders: PyTorch eager (NCHW), eager with channels_last, torch.compile, and `walsh bench step`. Each is a process of
its own that is set up once and then times K steps whenever it is its turn (Walsh starts anew each time), so that drift
hits all alike and nobody runs beside another; the median of the turns counts. PyTorch gets its images as normalised
floats; Walsh begins with bytes, and its evaluation includes loss and errors. Training is SGD with momentum 0.9 and
weight decay 1e-4, the recipe of CIFAR ResNets, on random images.

PyTorch comes from pip into a virtual environment of this tool's own, ~/.cache/walsh/pytorch or --venv.

    tools/compare_pytorch.py
    tools/compare_pytorch.py --case train:resnet20 --rounds 7 --json > comparison.json
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = "train:resnet20", "train:resnet56", "evaluate:resnet56"
STYLES = "eager", "channels_last", "compile"
CLASSES, SIZE = 10, 32


def worker(style, case, batch, threads):
    """A PyTorch contender: a line of JSON after the first step, then one for each number of steps read from stdin."""
    import torch

    from resnet_pytorch import FEATURES, ResNet

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    mode, name = case.split(":")
    layout = torch.channels_last if style == "channels_last" else torch.contiguous_format
    model = ResNet(int(name.removeprefix("resnet")), torch.nn.Linear(FEATURES, CLASSES)).to(memory_format=layout)
    images = torch.randn(batch, 3, SIZE, SIZE).to(memory_format=layout)
    labels = torch.arange(batch) % CLASSES
    model.train(mode == "train")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(model) if style == "compile" else model

    def train():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run(images), labels).backward()
        optimizer.step()

    def evaluate():
        with torch.inference_mode():
            run(images)

    step = train if mode == "train" else evaluate

    def tell(**facts):
        rss = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(dict(facts, rss=rss, version=torch.__version__)), flush=True)

    step()
    tell()
    step()
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        tell(seconds=time.perf_counter() - start)


class PyTorch:
    def __init__(self, args, style, case):
        self.name, self.batch, self.log = f"pytorch {style}", args.batch, tempfile.TemporaryFile("w+")
        command = [args.python, __file__, "--worker", style, "--case", case, "--batch", str(args.batch), "--threads",
                   str(args.threads)]
        start = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True)
        self.rss = self.answer()["rss"]
        self.first_step = time.perf_counter() - start

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.close()
        self.log.seek(0)
        raise RuntimeError(f"{self.name}: {(self.log.read().strip() or 'it ended').splitlines()[-1]}")

    def rate(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.rss = max(self.rss, answer["rss"])
        return steps * self.batch / answer["seconds"]

    def facts(self):
        return {}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Walsh:
    name = "walsh"

    def __init__(self, args, case):
        mode, model = case.split(":")
        self.command = [args.walsh, "bench", "step", "--model", model, "--mode", mode, "--batch", str(args.batch),
                        "--device", "cpu", "--repeats", "1", "--json"]
        if args.threads < len(os.sched_getaffinity(0)):
            self.command += ["--threads", str(args.threads)]
        self.rss, self.shares = 0, []
        with tempfile.TemporaryDirectory() as empty:
            self.cold = self.bench(1, dict(os.environ, WALSH_CACHE=empty, POCL_CACHE_DIR=empty))["first_step_ms"] / 1e3
        self.first_step = self.bench(1)["first_step_ms"] / 1e3

    def bench(self, steps, environment=None):
        done = subprocess.run(self.command + ["--steps", str(steps)], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        row = json.loads(done.stdout)[0]
        self.rss = max(self.rss, row["peak_rss_bytes"])
        return row

    def rate(self, steps):
        row = self.bench(steps)
        self.shares.append(row["peak_share"])
        return row["images_per_second"]

    def facts(self):
        return {"first_step_cold_s": self.cold, "peak_share": statistics.median(self.shares)}

    def close(self):
        pass


def note(text):
    print(text, file=sys.stderr, flush=True)


def open_contenders(args, case):
    """Those that can run: a failure of one is told and leaves the others."""
    made = []
    for style in [*args.style, None]:
        note(f"{case}: setting up {style or 'walsh'}")
        try:
            made.append(PyTorch(args, style, case) if style else Walsh(args, case))
        except RuntimeError as failure:
            note(f"{case}: left out: {failure}")
    return made


def compare(args, case):
    contenders = open_contenders(args, case)
    rates = {c.name: [] for c in contenders}
    for turn in range(args.rounds):
        note(f"{case}: turn {turn + 1} of {args.rounds}")
        for c in contenders:
            rates[c.name].append(c.rate(args.steps))
    rows = []
    for c in contenders:
        c.close()
        rows.append({"case": case, "contender": c.name, "batch": args.batch, "threads": args.threads,
                     "images_per_second": statistics.median(rates[c.name]), "least": min(rates[c.name]),
                     "most": max(rates[c.name]), "rss_mib": c.rss / 2**20, "first_step_s": c.first_step, **c.facts()})
    theirs = [row for row in rows if row["contender"] != Walsh.name]
    for row in rows:
        if row["contender"] == Walsh.name and theirs:
            row["ratio"] = row["images_per_second"] / max(r["images_per_second"] for r in theirs)
            row["memory_ratio"] = row["rss_mib"] / min(r["rss_mib"] for r in theirs)
    return rows


def print_table(rows):
    print(f"{'case':18} {'contender':22} {'images/s':>9} {'from':>8} {'to':>8} {'MiB':>7} {'first step s':>12}"
          f" {'cold':>6} {'ratio':>7} {'memory':>7} {'of FMA peak':>12}")
    for r in rows:
        optional = [f"{r[key]:{form}}" if key in r else "" for key, form in
                    (("first_step_cold_s", ".1f"), ("ratio", ".2f"), ("memory_ratio", ".2f"), ("peak_share", ".1%"))]
        print(f"{r['case']:18} {r['contender']:22} {r['images_per_second']:9.1f} {r['least']:8.1f} {r['most']:8.1f}"
              f" {r['rss_mib']:7.0f} {r['first_step_s']:12.1f} {optional[0]:>6} {optional[1]:>7} {optional[2]:>7}"
              f" {optional[3]:>12}")


def make_environment(folder):
    """The Python of a virtual environment that has PyTorch; made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        note(f"making {folder} with pip's newest torch: some gigabytes, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=sys.stderr)
    if subprocess.run([python, "-c", "import torch, numpy"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--upgrade", "torch", "numpy"], check=True, stdout=sys.stderr)
    return str(python)


def at_least_one(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def parse():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description="Times Walsh beside PyTorch, in turns, on the same cores.")
    parser.add_argument("--case", choices=CASES, action="append", help="only this case (default: all)")
    parser.add_argument("--style", choices=STYLES, action="append", help="only this PyTorch (default: all)")
    parser.add_argument("--batch", type=at_least_one, default=128, help="images a step (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--steps", type=at_least_one, default=3, help="steps of one turn (default: %(default)s)")
    parser.add_argument("--threads", type=at_least_one, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--venv", type=pathlib.Path, default=cache / "walsh" / "pytorch", help="default: %(default)s")
    parser.add_argument("--walsh", default=str(ROOT / "build/apps/walsh"), help="the command (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", choices=STYLES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.case, args.style = args.case or list(CASES), args.style or list(STYLES)
    return args


def main():
    args = parse()
    if args.worker:
        worker(args.worker, args.case[0], args.batch, args.threads)
        return 0
    if not os.access(args.walsh, os.X_OK):
        note(f"{args.walsh}: expected the built command; see --walsh")
        return 2
    try:
        args.python = make_environment(args.venv)
        rows = [row for case in args.case for row in compare(args, case)]
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
