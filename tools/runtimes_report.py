#!/usr/bin/env python3
"""What tools/runtimes.sh has run, as tables.

  runtimes_report.py tests CL BUILD N [FILE]   tests and kernels by runtimes, of the kernels in the folder CL, from what
                                               was run in BUILD; fails if a variant of a kernel ran on fewer than N
                                               runtimes; FILE gets the table as Markdown
  runtimes_report.py scan FILE                 what Oclgrind says in a program's output; fails if it says anything
  runtimes_report.py losses FOLDER             losses by step, and how far they are apart
"""
import collections
import filecmp
import json
import pathlib
import re
import sys

ALL = ["pocl", "intel", "rusticl", "oclgrind"]
COMPLAINTS = {
    "races": r"data race",
    "uninitialised values": r"Uninitialized (?:value|address)|Controlflow depends on uninitialized",
    "accesses out of bounds": r"Invalid (?:read|write) of size",
    "divergent barriers": r"divergence detected|Work-group divergence",
    "errors of the interface": r"OpenCL runtime error detected",
    "failures of its own": r"OCLGRIND FATAL ERROR",
}


def complaints(text):
    return {kind: count for kind, pattern in COMPLAINTS.items() if (count := len(re.findall(pattern, text)))}


def in_words(counts):
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def results(build):
    """{test: {runtime: (result, seconds)}}, and what Oclgrind found. Of a test that ran several times, the worst."""
    by_badness = ["skipped", "passed", "FAILED"]
    tests, found = collections.defaultdict(dict), collections.Counter()
    for runtime in ALL:
        for log in sorted(build.glob(f"meson-logs/testlog-{runtime}-*.json")):
            for line in log.read_text(errors="replace").splitlines():
                test = json.loads(line)
                words = {"OK": "passed", "SKIP": "skipped"}.get(test["result"], "FAILED")
                if runtime == "oclgrind":
                    said = complaints((test.get("stdout") or "") + (test.get("stderr") or ""))
                    found.update(said)
                    words = "FAILED" if said else words
                its = tests[test["name"].split(" / ")[-1]]
                before, seconds = its.get(runtime, ("skipped", 0))
                its[runtime] = max(before, words, key=by_badness.index), seconds + test["duration"]
    return tests, found


# Sizes that programs are built anew for: the same code to test.
SIZES = re.compile(r" ?-D(?:N|ROWS|LOG_P|CORES|ORDER\d)=\d+")


def kernels(results_folder):
    """{(file, options, kernel): runtimes}: each variant of a kernel, whatever the sizes in its options."""
    ran = collections.defaultdict(set)
    for log in results_folder.glob("*.kernels"):
        for line in log.read_text().splitlines():
            file, options, kernel = line.split("\t")[:3]
            ran[file, SIZES.sub("", options).strip(), kernel].add(log.stem)
    return ran


def kernel_names(folder):
    """(file, kernel) of every kernel in the sources."""
    for path in sorted(folder.glob("*.cl")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        for name in re.findall(r"__kernel\s+(?:__attribute__\s*\(\(.*?\)\)\)?\s*)?void\s+(\w+)", text, flags=re.S):
            yield path.name, name


def print_table(header, rows, file=sys.stdout, markdown=False):
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    for number, row in enumerate([header, *rows]):
        cells = [str(cell).ljust(width) for cell, width in zip(row, widths)]
        print("| " + " | ".join(cells) + " |" if markdown else "  ".join(cells).rstrip(), file=file)
        if number == 0 and markdown:
            print("|" + "---|" * len(header), file=file)


def check_kernels(sources, ran, runtimes, wanted):
    """Prints what was reached; how much is missing. Not all is for rusticl."""
    enough, missing = min(wanted, len(set(runtimes) - {"rusticl"})), 0
    reached = {(file, kernel) for file, _, kernel in ran}
    for file, kernel in kernel_names(sources):
        if (file, kernel) not in reached:
            print(f"{file}: no test runs {kernel}")
            missing += 1
    for variant, where in sorted(ran.items()):
        if len(where) < enough:
            print(f"{variant[0]}: {variant[2]} with '{variant[1]}' ran on {' and '.join(sorted(where))} alone")
            missing += 1
    by_count = collections.Counter(len(where) for where in ran.values())
    print(f"{len(reached)} kernels, {len(ran)} variants by their options: "
          + ", ".join(f"{count} on {number} runtimes" for number, count in sorted(by_count.items(), reverse=True)))
    by_runtime = collections.Counter(runtime for where in ran.values() for runtime in where)
    print("of these, " + ", ".join(f"{by_runtime[runtime]} on {runtime}" for runtime in runtimes))
    return missing


def list_kernels(ran, runtimes, path):
    """Which runtimes ran what, as a table of marks."""
    with open(path, "w", encoding="utf-8") as file:
        print("file", "options", "kernel", *runtimes, sep="\t", file=file)
        for variant, where in sorted(ran.items()):
            print(*variant, *("ran" if runtime in where else "" for runtime in runtimes), sep="\t", file=file)


def report_tests(sources, build, wanted, table):
    folder = build / "runtimes"
    tests, found = results(build)
    runtimes = [r for r in ALL if any(r in by for by in tests.values())]
    rows = [[name, *(by[r][0] if r in by else "" for r in runtimes)] for name, by in tests.items()]
    totals = {r: collections.Counter(by[r][0] for by in tests.values() if r in by) for r in runtimes}
    seconds = {r: sum(by[r][1] for by in tests.values() if r in by) for r in runtimes}
    rows.append(["passed", *(totals[r]["passed"] for r in runtimes)])
    rows.append(["failed", *(totals[r]["FAILED"] for r in runtimes)])
    rows.append(["skipped", *(totals[r]["skipped"] for r in runtimes)])
    rows.append(["seconds, all tests", *(f"{seconds[r]:.0f}" for r in runtimes)])
    print_table(["test", *runtimes], rows)
    if table:
        with open(table, "w", encoding="utf-8") as file:
            print_table(["test", *runtimes], rows, file, markdown=True)
    if "oclgrind" in runtimes:
        print("oclgrind: " + in_words({kind: found[kind] for kind in COMPLAINTS}))
    ran = kernels(folder)
    missing = check_kernels(sources, ran, runtimes, wanted) if runtimes else 0
    list_kernels(ran, runtimes, folder / "kernels.tsv")
    print(f"what ran where: {folder / 'kernels.tsv'}")
    for line in (folder / "skipped").read_text().splitlines() if (folder / "skipped").exists() else []:
        print("{} was skipped: {}".format(*line.split("\t")))
    passed, failed = (sum(totals[r][word] for r in runtimes) for word in ("passed", "FAILED"))
    print(f"{passed} passed, {failed} failed"
          + (f", {missing} kernels not run where they should be" if missing else ""))
    return 1 if failed or missing or not runtimes else 0


def report_losses(folder):
    """Lines of FOLDER/RUNTIME-RUN.txt are "step loss"; FOLDER/RUNTIME-RUN/ is what a run wrote."""
    runs = {path.stem: [float(line.split()[1]) for line in path.read_text().splitlines()]
            for path in folder.glob("*.txt")}
    runtimes = [r for r in ALL if f"{r}-1" in runs and f"{r}-2" in runs]
    steps = min((len(runs[f"{r}-1"]) for r in runtimes), default=0)
    wrong = 0
    for r in runtimes:
        same = runs[f"{r}-1"] == runs[f"{r}-2"] and filecmp.cmp(
            folder / f"{r}-1" / "state.safetensors", folder / f"{r}-2" / "state.safetensors", shallow=False)
        print(f"{r}: two runs are {'the same to the bit' if same else 'NOT THE SAME'}")
        wrong += not same
    first = runtimes[0] if runtimes else ""
    rows = []
    for step in sorted({1, 2, 5, 10, 15, steps} - {0}):
        if step <= steps:
            losses = [runs[f"{r}-1"][step - 1] for r in runtimes]
            rows.append([step, *(f"{loss:.7f}" for loss in losses), f"{max(losses) - min(losses):.1e}"])
    print_table(["step", *runtimes, "apart"], rows)
    apart = [max(runs[f"{r}-1"][s] for r in runtimes) - min(runs[f"{r}-1"][s] for r in runtimes) for s in range(steps)]
    if apart:
        print(f"largest difference in {steps} steps: {max(apart):.1e}")
    return 1 if wrong or not first or steps < 20 or max(apart) > 1e-3 else 0


def main():
    if len(sys.argv) >= 5 and sys.argv[1] == "tests":
        return report_tests(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4]),
                            "".join(sys.argv[5:]))
    if len(sys.argv) == 3 and sys.argv[1] == "scan":
        found = complaints(pathlib.Path(sys.argv[2]).read_text(errors="replace"))
        if found:
            print("oclgrind: " + in_words(found), file=sys.stderr)
        return 1 if found else 0
    if len(sys.argv) == 3 and sys.argv[1] == "losses":
        return report_losses(pathlib.Path(sys.argv[2]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
