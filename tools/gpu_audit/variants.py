"""Which kernels there are to compile: those that Walsh says it has run ($WALSH_KERNEL_LOG), by configuration."""
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .targets import ANY_GPU, CONFIGURATIONS


@dataclass(frozen=True, order=True)
class Program:
    """What is compiled at once."""

    file: str
    options: str


def read_log(path):
    """{(program, kernel): work-items of its largest work-group}."""
    found = {}
    for line in Path(path).read_text().splitlines():
        file, options, kernel, local = line.split("\t")
        items = 1
        for side in local.split("x"):
            items *= int(side)
        key = (Program(file.removesuffix(".cl"), options), kernel)
        found[key] = max(found.get(key, 0), items)
    return found


def _of_configuration(walsh, configuration, log):
    environment = dict(os.environ, WALSH_TILES=configuration, WALSH_KERNEL_LOG=str(log))
    subprocess.run([walsh, "devices", "--check"], env=environment, check=True, stdout=subprocess.DEVNULL)
    return read_log(log)


def of_walsh(walsh, configurations=CONFIGURATIONS):
    """{configuration: as read_log()}, by letting the command `walsh` run every kernel of the models."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {c: pool.submit(_of_configuration, walsh, c, Path(folder, c)) for c in configurations}
        return {c: job.result() for c, job in jobs.items()}


def of_target(logs, target):
    """{(program, kernel): (work-items, configurations)} that devices like the target's may run."""
    wanted = {}
    for configuration in (ANY_GPU, target.configuration):
        for key, items in logs.get(configuration, {}).items():
            before, names = wanted.get(key, (0, []))
            wanted[key] = (max(before, items), names + [configuration])
    return wanted
