"""The compilers: taken from Debian's and Python's package registries into a cache folder, so that nothing is installed
on the machine (an OpenCL driver would be found by its programs)."""
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

DEBIAN = {"LLVM": ["clang-19", "libclc-19"], "Intel": ["intel-opencl-icd"]}
WHEELS = ["nvidia-cuda-nvcc==13.5.37", "nvidia-cuda-nvdisasm==13.5.37"]
LIBRARIES = ["usr/lib/x86_64-linux-gnu", "usr/lib/llvm-19/lib"]


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "walsh-audit"


@dataclass
class Tools:
    folder: Path
    environment: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)  # vendor: why its compiler is not there
    versions: dict = field(default_factory=dict)  # vendor: its compilers, as the table names them

    @property
    def clang(self):
        return self.folder / "root/usr/lib/llvm-19/bin/clang-19"

    @property
    def clc(self):
        return self.folder / "root/usr/lib/clc"

    @property
    def ocloc(self):
        return self.folder / "root/usr/bin/ocloc"

    def _of_wheel(self, name):
        return next(iter(sorted(self.folder.glob(f"wheels/nvidia/*/bin/{name}"))), self.folder / "wheels" / name)

    @property
    def ptxas(self):
        return self._of_wheel("ptxas")

    @property
    def nvdisasm(self):
        return self._of_wheel("nvdisasm")

    def ask(self, pattern, *command):
        """What matches in what a command prints or writes."""
        with tempfile.TemporaryDirectory() as here:
            text = subprocess.run(command, cwd=here, env=self.environment, capture_output=True, text=True,
                                  check=True).stdout
            text += "".join(file.read_text() for file in Path(here).iterdir())
        return re.search(pattern, text).group(1)


def _installed(package):
    run = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return "install ok installed" in run.stdout


def _debian(folder, wanted):
    """Unpacks packages and what they need that the machine has not; to be found, not installed."""
    listing = subprocess.run(["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests",
                              "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", *wanted],
                             capture_output=True, text=True, check=True).stdout
    names = {line for line in listing.split("\n") if line and line[0].isalnum()}
    names = sorted(n for n in names if n in wanted or not _installed(n))
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *names], cwd=archives, capture_output=True, text=True, check=True)
    for name in names:
        for archive in archives.glob(name + "_*.deb"):
            subprocess.run(["dpkg", "-x", archive, folder / "root"], check=True)
            archive.unlink()


def _wheels(folder):
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--only-binary=:all:", "-d", archives, *WHEELS], capture_output=True, text=True, check=True)
    for archive in archives.glob("nvidia_cuda_nv*.whl"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder / "wheels")
        archive.unlink()
    for program in folder.glob("wheels/nvidia/*/bin/*"):
        program.chmod(0o755)


def _reason(error):
    text = getattr(error, "stderr", None) or str(error)
    return text.strip().split("\n")[-1]


def find(download=True):
    """The compilers of the cache folder, after fetching those that are not there; what cannot be had is `missing`."""
    folder = cache_folder()
    tools = Tools(folder)
    libraries = [str(folder / "root" / path) for path in LIBRARIES]
    tools.environment = dict(os.environ, LD_LIBRARY_PATH=":".join(libraries))
    have_llvm = tools.clang.exists() and (tools.clc / "amdgcn--amdhsa.bc").exists()
    steps = [(["AMD", "NVIDIA"], have_llvm, lambda: _debian(folder, DEBIAN["LLVM"])),
             (["Intel"], tools.ocloc.exists(), lambda: _debian(folder, DEBIAN["Intel"])),
             (["NVIDIA"], tools.ptxas.exists() and tools.nvdisasm.exists(), lambda: _wheels(folder))]
    for vendors, there, fetch in steps:
        try:
            if not there and download:
                fetch()
            elif not there:
                raise FileNotFoundError(f"its compiler is not in {folder}")
        except (OSError, subprocess.CalledProcessError, zipfile.BadZipFile) as error:
            tools.missing.update((vendor, _reason(error)) for vendor in vendors)
    _ask_versions(tools)
    return tools


def _ask_versions(tools):
    clang = lambda: "clang " + tools.ask(r"clang version (\S+)", tools.clang, "--version")
    questions = {"AMD": clang,
                 "NVIDIA": lambda: clang() + ", ptxas " + tools.ask(r"V(\d\S+)", tools.ptxas, "--version"),
                 "Intel": lambda: "ocloc " + tools.ask(r"(\d\d\.\d\d\.\d+)", tools.ocloc, "query",
                                                       "OCL_DRIVER_VERSION")}
    for vendor, ask in questions.items():
        if vendor in tools.missing:
            continue
        try:
            tools.versions[vendor] = ask()
        except (OSError, subprocess.CalledProcessError, AttributeError) as error:
            tools.missing[vendor] = "its compiler does not run: " + _reason(error)
