"""The contenders of compare_pytorch.py. Each has a `name`, `turn()`, which times it once and returns a sample, and
`facts()`, what else is known of it at the end; a sample is a dictionary with the figure that counts under `rate`."""
import ctypes.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOOLS = pathlib.Path(__file__).resolve().parent


def what_failed(log):
    """The line of a Python program's stderr that names its failure."""
    lines = log.strip().splitlines() or ["it ended"]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)]
    return (named or lines)[-1]


class Worker:
    """A Python process that is set up once, and times itself when it is told to."""

    def __init__(self, name, command, wanted, environment=None):
        self.name, self.log = name, tempfile.TemporaryFile("w+")
        start = time.perf_counter()
        self.process = subprocess.Popen([*command, json.dumps(wanted)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=environment)
        self.ready = self.answer()
        self.first_step = time.perf_counter() - start

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.close()
        self.log.seek(0)
        raise RuntimeError(f"{self.name}: {what_failed(self.log.read())}")

    def ask(self, number):
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class PyTorch:
    """`style`: eager, channels_last or compile. Compilation is no part of a turn, but of the first step: cold with an
    empty cache of torch.compile, warm with the cache that this left."""

    def __init__(self, args, style, case):
        self.name, self.batch, self.steps = f"pytorch {style}", args.batch, args.steps
        command = [args.python, TOOLS / "pytorch_worker.py"]
        wanted = {"case": case, "classes": args.classes, "style": style, "batch": args.batch, "threads": args.threads}
        self.cold, self.cache = None, tempfile.TemporaryDirectory()
        environment = dict(os.environ, TORCHINDUCTOR_CACHE_DIR=self.cache.name)
        if style == "compile":
            check_compiler(args.python)
            cold = Worker(self.name, command, wanted, environment)
            cold.close()
            self.cold = cold.first_step
        self.worker = Worker(self.name, command, wanted, environment)
        self.rss = self.worker.ready["rss"]

    def turn(self):
        answer = self.worker.ask(self.steps)
        self.rss = max(self.rss, answer["rss"])
        return {"rate": self.steps * self.batch / answer["seconds"]}

    def facts(self):
        cold = {"first_step_cold_s": self.cold} if self.cold else {}
        return {"version": self.worker.ready["version"], "rss_mib": self.rss / 2**20,
                "first_step_s": self.worker.first_step, **cold}

    def close(self):
        self.worker.close()
        self.cache.cleanup()


def check_compiler(python):
    """torch.compile writes C++ for a CPU, which includes Python.h."""
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise RuntimeError(f"torch.compile needs a C++ compiler and there is no {compiler}: install g++ or set CXX")
    show = "import sysconfig; print(sysconfig.get_path('include'))"
    include = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.exists(f"{include}/Python.h"):
        raise RuntimeError(f"torch.compile needs {include}/Python.h: install python3-dev")


class OpenBLAS:
    """sgemm of square matrices."""

    def __init__(self, args, size, threads):
        library = args.openblas or ctypes.util.find_library("openblas")
        if not library:
            raise RuntimeError("OpenBLAS is not installed: expected libopenblas0, or its file by --openblas")
        self.name, self.size, self.steps = "openblas", size, args.steps
        wanted = {"size": size, "threads": threads, "library": library}
        self.worker = Worker(self.name, [sys.executable, TOOLS / "openblas_worker.py"], wanted)

    def turn(self):
        return {"rate": 2e-9 * self.size**3 / self.worker.ask(self.steps)["seconds"]}

    def facts(self):
        return {"version": self.worker.ready["version"]}

    def close(self):
        self.worker.close()


def walsh_bench(args, threads, arguments, environment=None):
    """The rows of `walsh bench`: what was measured, and the peak of multiply-adds in GFLOP/s."""
    command = [args.walsh, "bench", *arguments, "--device", "cpu", "--json"]
    if threads < len(os.sched_getaffinity(0)):
        command += ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    rows = json.loads(done.stdout)
    peak = next(row for row in rows if row["op"] == "peak_fma")
    return next(row for row in rows if not row["op"].startswith("peak_")), peak["gflops"] * peak["ms"] / peak["ms_min"]


class Walsh:
    """Whole steps. Starts anew in each turn; its samples say, for all contenders, what the machine could do then and
    how much arithmetic an image takes."""

    name = "walsh"

    KINDS = {"fast": [], "exact": ["--math", "exact"], "f16": ["--store", "f16"]}

    def __init__(self, args, case, kind):
        mode, model = case.split(":")
        self.name = self.name if kind == "fast" else f"{self.name} {kind}"
        self.args, self.rss, self.arithmetic = args, 0, 0
        self.arguments = ["step", "--model", model, "--mode", mode, "--batch", str(args.batch), "--classes",
                          str(args.classes), *self.KINDS[kind], "--repeats", "1"]
        with tempfile.TemporaryDirectory() as empty:
            self.cold = self.bench(1, dict(os.environ, WALSH_CACHE=empty, POCL_CACHE_DIR=empty))[0]["first_step_ms"]
        self.warm = self.bench(1)[0]["first_step_ms"]

    def bench(self, steps, environment=None):
        row, peak = walsh_bench(self.args, self.args.threads, [*self.arguments, "--steps", str(steps)], environment)
        self.rss = max(self.rss, row["peak_rss_bytes"])
        self.arithmetic = row["gflops"] * row["ms"] / 1e3 / row["batch"]
        return row, peak

    def turn(self):
        row, peak = self.bench(self.args.steps)
        return {"rate": row["images_per_second"], "peak": peak / self.arithmetic}

    def facts(self):
        return {"gflop_per_image": self.arithmetic, "rss_mib": self.rss / 2**20, "first_step_s": self.warm / 1e3,
                "first_step_cold_s": self.cold / 1e3}

    def close(self):
        pass


class WalshHead:
    """A head alone: `walsh bench head` repeats it within a turn."""

    def __init__(self, args, size, kind):
        self.name, self.args, self.row = f"walsh {kind}", args, {}
        self.arguments = ["head", "--size", size, "--head", kind, "--batch", str(args.batch)]
        self.turn()

    def turn(self):
        self.row, _ = walsh_bench(self.args, self.args.threads, self.arguments)
        return {"rate": self.row["images_per_second"]}

    def facts(self):
        return {"head_mib": self.row["memory_bytes"] / 2**20, "moved_mib": self.row["moved_bytes"] / 2**20,
                "parameters": self.row["parameters"], "optimizer_bytes": self.row["optimizer_bytes"]}

    def close(self):
        pass


class WalshProduct:
    """The engine's own GEMM, square."""

    name = "walsh"

    def __init__(self, args, size, threads):
        self.args, self.threads = args, threads
        self.arguments = ["gemm", "--size", f"{size},{size},{size}", "--variant", "gemm_packed", "--repeats",
                          str(args.steps)]

    def turn(self):
        row, peak = walsh_bench(self.args, self.threads, self.arguments)
        return {"rate": row["gflops"], "peak": peak}

    def facts(self):
        return {}

    def close(self):
        pass
