#!/usr/bin/env python3
"""Walsh's fast Walsh-Hadamard transform beside FFHT and scipy, microseconds a transform within a batch, in one run.

FFHT (https://github.com/FALCONN-LIB/FFHT) is the fastest CPU code known; it is compiled here from --ffht DIR, a clone of
it, and transforms the rows of a batch one after another, in place, on one core. scipy multiplies the batch by
scipy.linalg.hadamard(N) with its BLAS, on all cores. Walsh runs on one core (--threads 1) and on all: walsh_fwht and
walsh_fwht_host, in place, and the operation from one buffer to another. A batch holds --elements floats, or one row.

Contenders take turns, each a process of its own; a figure is the least over the turns of five timings each: what the
machine does when nobody else disturbs it.

    git clone https://github.com/FALCONN-LIB/FFHT
    tools/compare_fwht.py --ffht FFHT
    tools/compare_fwht.py --ffht FFHT --size 512 --size 1048576 --json
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = [2**m for m in (1, 3, 6, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24)]
LARGEST_DENSE = 8192
TIMINGS, LEAST_SECONDS = 5, 2e-2

# argv: rows, log2 N. Zeros, as in walsh bench: they do not overflow however often they are transformed.
DRIVER = r"""
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int fht_float(float *, int);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double once(float *x, size_t rows, int m, long times)
{
    double start = now();
    for (long i = 0; i < times; i++)
        for (size_t r = 0; r < rows; r++) fht_float(x + (r << m), m);
    return (now() - start) / (double)times;
}

int main(int count, char **text)
{
    if (count != 5) return 2;
    size_t rows = strtoul(text[1], NULL, 10), bytes;
    int m = atoi(text[2]);
    bytes = ((rows << m) * sizeof(float) + 63) / 64 * 64;
    float *x = aligned_alloc(64, bytes);
    if (!x) return 1;
    memset(x, 0, bytes);
    double least = once(x, rows, m, 1);
    long times = (long)(atof(text[4]) / once(x, rows, m, 1)) + 1;
    for (int i = 0; i < atoi(text[3]); i++) {
        double seconds = once(x, rows, m, times);
        if (seconds < least) least = seconds;
    }
    printf("%.9g\n", least);
    return 0;
}
"""


def build_ffht(folder, cc, out):
    """The driver's path. Other machines than x86 have no code of FFHT's."""
    source, program = out / "driver.c", out / "ffht"
    source.write_text(DRIVER)
    subprocess.run([cc, "-O3", "-march=native", "-std=gnu11", "-w", str(source), str(folder / "fht.c"),
                    str(folder / "fast_copy.c"), "-o", str(program)], check=True)
    return program


def time_ffht(program, rows, n):
    command = [str(program), str(rows), str(n.bit_length() - 1), str(TIMINGS), str(LEAST_SECONDS)]
    return {"ffht": float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)}


def time_scipy(rows, n):
    import numpy
    import scipy.linalg

    if n > LARGEST_DENSE:
        return {}
    matrix = scipy.linalg.hadamard(n, dtype=numpy.float32)
    x, y = numpy.ones((rows, n), numpy.float32), numpy.empty((rows, n), numpy.float32)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        numpy.matmul(x, matrix, out=y)
        seconds.append(time.perf_counter() - start)
    return {"scipy": min(seconds)}


def time_walsh(walsh, rows, n, threads):
    command = [walsh, "bench", "fwht", "--size", f"{rows},{n}", "--device", "cpu", "--repeats", str(TIMINGS), "--json"]
    if threads:
        command += ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    cores = "one" if threads else "all"
    return {f"{row['op']} {cores}": row["ms_min"] / 1e3 for row in json.loads(done.stdout) if "n" in row}


def compare(args, ffht, n):
    rows = max(1, args.elements // n)
    turns = {}
    for _ in range(args.rounds):
        for times in (time_ffht(ffht, rows, n) if ffht else {}, time_walsh(args.walsh, rows, n, 1),
                      time_walsh(args.walsh, rows, n, 0), time_scipy(rows, n) if not args.no_scipy else {}):
            for name, seconds in times.items():
                turns.setdefault(name, []).append(seconds / rows)
    return {"n": n, "rows": rows, **{name: 1e6 * min(values) for name, values in turns.items()}}


COLUMNS = [("ffht", "FFHT"), ("walsh_fwht one", "Walsh, one core"), ("walsh_fwht_host one", "host memory"),
           ("fwht one", "x to y"), ("walsh_fwht all", "all cores"), ("scipy", "scipy product")]


def print_row(result):
    cells = [f"{result[key]:.4g}" if key in result else "" for key, _ in COLUMNS]
    of_ffht = f"{result['walsh_fwht one'] / result['ffht']:.2f}" if "ffht" in result else ""
    bandwidth = 8e-3 * result["n"] / result["walsh_fwht all"]
    print(f"| {result['n']} | {result['rows']} | {' | '.join(cells)} | {of_ffht} | {bandwidth:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffht", type=pathlib.Path, metavar="DIR", help="FFHT's sources (default: without FFHT)")
    parser.add_argument("--walsh", default=str(ROOT / "build/apps/walsh"), help="the command (default: %(default)s)")
    parser.add_argument("--size", type=int, action="append", metavar="N", help="a size; may be repeated")
    parser.add_argument("--elements", type=int, default=1 << 21, help="floats a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--no-scipy", action="store_true")
    parser.add_argument("--cc", default="cc", help="compiler for FFHT (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the same figures as JSON")
    args = parser.parse_args()
    for n in args.size or []:
        if n < 2 or n > 1 << 24 or n & (n - 1):
            parser.error(f"--size {n}: expected a power of two from 2 to 2^24")
    with tempfile.TemporaryDirectory() as folder:
        ffht = build_ffht(args.ffht, args.cc, pathlib.Path(folder)) if args.ffht else None
        results = []
        if not args.json:
            print("Microseconds a transform; the last two: one core over FFHT, GB/s of all cores, read and written.\n")
            print(f"| N | rows | {' | '.join(heading for _, heading in COLUMNS)} | ratio | GB/s |")
            print("|" + "---|" * (len(COLUMNS) + 4), flush=True)
        for n in args.size or SIZES:
            results.append(compare(args, ffht, n))
            if not args.json:
                print_row(results[-1])
        if args.json:
            print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
