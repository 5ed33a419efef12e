"""What is compiled for: real GPUs, and which of Walsh's configurations they run."""
from dataclasses import dataclass
from types import ModuleType

from . import amd, intel, nvidia


@dataclass(frozen=True)
class Target:
    name: str
    vendor: str  # as toolchains.Tools has it
    configuration: str  # $WALSH_TILES that its devices choose
    compiler: ModuleType
    options: tuple = ()  # that follow from the device (engine/device/device.c)


TARGETS = [Target(name, "AMD", "amd", amd) for name in ("gfx1030", "gfx90a", "gfx1100")]
TARGETS += [Target(name, "Intel", "intel", intel, ("-DNARROWEST=8",)) for name in ("dg2", "skl")]
TARGETS += [Target(name, "NVIDIA", "nvidia", nvidia) for name in ("sm_75", "sm_80", "sm_90")]

# What is run on the devices of a vendor that has none of its own, and so must suit all.
ANY_GPU = "gpu"
CONFIGURATIONS = [ANY_GPU] + sorted({t.configuration for t in TARGETS})
