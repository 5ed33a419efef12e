#!/usr/bin/env python3
"""What a network learns with each kind of last layer: trains it once for every head and seed, and prints a table.

Each run is `walsh train` in a folder of its own, NAME-SEED, with one thread and as many runs beside one another as
there are processors. A run that was cut off goes on where it stopped when this is started again, and one that is
complete is only read. With --logs the runs' log.csv are kept there, as NAME-SEED.csv, without their times.

    tools/compare_heads.py --data cifar100:data/cifar-100-binary --out runs --logs tools/learning/cifar100-resnet20
    tools/compare_heads.py --table tools/learning/cifar100-resnet20
"""
import argparse
import csv
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADS = {  # what the table calls it, and walsh train's options
    "learned": ("learned", ["--head", "learned"]),
    "orthonormal": ("orthonormal, alpha learned", ["--head", "orthonormal"]),
    "hadamard": ("hadamard, alpha learned", ["--head", "hadamard"]),
    "plain": ("hadamard-plain, alpha learned", ["--head", "hadamard-plain"]),
    "alpha01": ("hadamard, alpha .1", ["--head", "hadamard", "--alpha", "0.1"]),
    "alpha1": ("hadamard, alpha 1", ["--head", "hadamard", "--alpha", "1"]),
    "alpha10": ("hadamard, alpha 10", ["--head", "hadamard", "--alpha", "10"]),
    "cosine": ("hadamard, cosine loss", ["--head", "hadamard", "--loss", "cosine"]),
}
KEPT = "epoch", "step", "lr", "train_loss", "train_error", "val_loss", "val_error", "alpha"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def is_complete(folder, epochs):
    log = folder / "log.csv"
    return log.exists() and bool(rows := rows_of(log)) and int(rows[-1]["epoch"]) >= epochs


def train(its, name, seed, folder):
    """One run to its end; raises RuntimeError with what walsh said where it fails."""
    command = [its.walsh, "train", "--out", str(folder), "--threads", "1", "--progress", "never"]
    if (folder / "state.safetensors").exists():
        command += ["--resume"]
    else:
        command += ["--model", its.model, "--data", its.data, "--epochs", str(its.epochs), "--batch", str(its.batch),
                    "--lr", str(its.lr), "--schedule", "onecycle", "--weight-decay", str(its.weight_decay),
                    "--seed", str(seed), *HEADS[name][1]]
        if its.image_size:
            command += ["--image-size", str(its.image_size)]
    print(" ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}, seed {seed}: {done.stderr.strip()}")


def keep_log(folder, logs):
    logs.mkdir(parents=True, exist_ok=True)
    with open(logs / f"{folder.name}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, KEPT, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(folder / "log.csv"))


def work(its, jobs, failures):
    while True:
        try:
            name, seed = jobs.get_nowait()
        except queue.Empty:
            return
        folder = its.out / f"{name}-{seed}"
        try:
            if not is_complete(folder, its.epochs):
                train(its, name, seed, folder)
            if its.logs:
                keep_log(folder, its.logs)
        except (RuntimeError, OSError) as failure:
            failures.append(str(failure))


def run_all(its):
    jobs, failures = queue.Queue(), []
    for seed in its.seeds:
        for name in its.heads:
            jobs.put((name, seed))
    workers = [threading.Thread(target=work, args=(its, jobs, failures)) for _ in range(its.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return failures


def print_table(logs):
    """Errors of the last epoch, in per cent: each seed's, and their mean; alpha, where it was learned, at the end."""
    print("| head | test error, each seed | mean | train error | alpha at the end |\n|---|---|---|---|---|")
    for name, (title, _) in HEADS.items():
        last = [rows_of(path)[-1] for path in sorted(logs.glob(f"{name}-[0-9]*.csv"))]
        if not last:
            continue
        errors, train_errors = ([float(row[key]) for row in last] for key in ("val_error", "train_error"))
        alphas = ", ".join(f"{float(row['alpha']):.2f}" for row in last) if "alpha learned" in title else ""
        print(f"| {title} | {', '.join(f'{e:.2f}' for e in errors)} | {statistics.mean(errors):.2f} % "
              f"| {statistics.mean(train_errors):.2f} % | {alphas} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set, as walsh train takes it")
    parser.add_argument("--model", default="resnet20", help="network (default: %(default)s)")
    parser.add_argument("--image-size", type=int, help="of imagenet: (default: the network's)")
    parser.add_argument("--heads", default=",".join(HEADS), type=lambda text: text.split(","),
                        help="some of %(default)s (default: all)")
    parser.add_argument("--seeds", default="1,2", type=lambda text: [int(seed) for seed in text.split(",")],
                        help="seeds (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of one cycle (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=128, help="images a step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.4, help="the cycle's highest rate (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs beside one another (default: all cores)")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the runs")
    parser.add_argument("--logs", type=pathlib.Path, help="folder where the runs' logs are kept")
    parser.add_argument("--walsh", default=str(ROOT / "build/apps/walsh"), help="the program (default: %(default)s)")
    parser.add_argument("--table", type=pathlib.Path, metavar="LOGS", help="only print the table of such a folder")
    its = parser.parse_args()
    if its.table:
        if not any(its.table.glob("*.csv")):
            sys.exit(f"compare_heads.py: {its.table}: expected the logs of runs, NAME-SEED.csv")
        return print_table(its.table)
    if unknown := [name for name in its.heads if name not in HEADS]:
        parser.error(f"--heads: unknown {', '.join(unknown)}; there are {', '.join(HEADS)}")
    if not its.data or not its.out:
        parser.error("--data and --out are wanted, or --table")
    its.logs = its.logs or its.out / "logs"
    failures = run_all(its)
    if any(its.logs.glob("*.csv")):
        print_table(its.logs)
    if failures:
        sys.exit("compare_heads.py: " + "; ".join(failures))


if __name__ == "__main__":
    main()
