"""Compiles programs for targets, two at a time; what a compiler made of the same text before is kept, here or in the
file of figures."""
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .figures import CompileError, Figures
from .loops import Loop

KEY_DIGITS = 20
OPTIONS = ["-cl-std=CL1.2", "-w", "-DWALSH_DEVICE_GPU=1"]  # as engine/device/device.c has them


def expand(path, depth=0):
    """The text with its includes in place, as cl/embed.py leaves it."""
    if depth > 8:
        raise CompileError(f"{path}: includes go deeper than 8 files")
    return re.sub(r'^#include "([^"]+)"$', lambda m: expand(path.parent / m.group(1), depth + 1), path.read_text(),
                  flags=re.M)


def preprocessed(tools, source, options):
    """The text that a compiler sees, so that comments and what is switched off do not matter."""
    others = " ".join(o for o in options if not o.startswith("-D"))
    if "AMD" not in tools.missing:
        command = [tools.clang, "-target", "spir64", "-E", "-P", "-x", "cl", *options, source]
        run = subprocess.run(command, env=tools.environment, capture_output=True, text=True)
        if run.returncode == 0:
            return others + run.stdout
    return " ".join(options) + source.read_text()


def _reader(compiler):
    """The code that reads what a compiler says: what another version of it made of that is not kept."""
    files = [Path(compiler.__file__)] + [Path(__file__).with_name(n) for n in ("loops.py", "figures.py")]
    return "".join(file.read_text() for file in files)


def _pack(kernels):
    return json.dumps({name: dataclasses.asdict(figures) for name, figures in kernels.items()})


def _unpack(text):
    kernels = {name: Figures(**values) for name, values in json.loads(text).items()}
    for figures in kernels.values():
        if figures.loop:
            figures.loop = Loop(**figures.loop)
    return kernels


class Compiler:
    def __init__(self, tools, kernels, known=None):
        self.tools = tools
        self.kernels = kernels  # the folder with the .cl files
        self.known = known or {}  # {what a program was made from: {kernel: Figures}}
        self.compiled = 0

    def _audit(self, target, names, source, options, folder, key):
        known = self.known.get(key, {})
        if names <= known.keys():
            return known
        kept = self.tools.folder / "results" / key[:2] / key
        if kept.exists():
            return _unpack(kept.read_text())
        folder.mkdir()
        self.compiled += 1
        try:
            kernels = target.compiler.audit(self.tools, target.name, source, [*options, *target.options], folder)
        except CompileError as error:
            return error
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(_pack(kernels))
        part.rename(kept)
        return kernels

    def _program(self, program, targets, folder):
        """{target: ({kernel: Figures}, or the CompileError; what it was made from)}; targets: {target: kernels}."""
        source, options = folder / (program.file + ".cl"), OPTIONS + program.options.split()
        folder.mkdir()
        try:
            source.write_text(expand(self.kernels / (program.file + ".cl")))
        except (OSError, CompileError) as error:
            return {target.name: (CompileError(str(error)), "") for target in targets}
        text = preprocessed(self.tools, source, options)
        results = {}
        for target, names in targets.items():
            version = self.tools.versions[target.vendor]
            key = "\0".join((_reader(target.compiler), target.name, version, *target.options, text))
            key = hashlib.sha256(key.encode()).hexdigest()[:KEY_DIGITS]
            results[target.name] = self._audit(target, names, source, options, folder / target.name, key), key
        return results

    def run(self, work):
        """{program: targets} to {program: as _program() says}."""
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = {program: pool.submit(self._program, program, targets, Path(folder, str(i)))
                    for i, (program, targets) in enumerate(sorted(work.items()))}
            return {program: job.result() for program, job in jobs.items()}
