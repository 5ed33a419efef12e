"""What an audit says about one kernel on one target."""
from dataclasses import dataclass, field


class CompileError(Exception):
    pass


@dataclass
class Figures:
    simd: int = 0  # work-items of a hardware thread
    registers: int = 0  # of a work-item (AMD, NVIDIA), or of a thread (Intel)
    scalar_spills: int = 0  # AMD: scalar registers kept in lanes of vector registers
    spills: int = 0  # bytes (NVIDIA, Intel) or registers (AMD)
    scratch: int = 0  # bytes of private memory a work-item or thread
    local: int = 0  # bytes a work-group
    occupancy: int = 0  # per cent of the work-items that a processor can hold
    retried: bool = False  # Intel: compiled a second time, with less optimisation
    unresolved: list = field(default_factory=list)
    instructions: int = 0  # of the whole kernel
    loop: object = None  # loops.Loop
