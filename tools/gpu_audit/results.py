"""The table of figures, its file, and what in it is wrong."""
import csv
from dataclasses import dataclass
from pathlib import Path

from .figures import CompileError, Figures
from .loops import Loop
from .targets import TARGETS
from .variants import of_target

BASELINE = Path(__file__).with_name("audit.csv")
KEY = ("target", "file", "options", "kernel")
COLUMNS = (*KEY, "configurations", "work_items", "simd", "registers", "scalar_spills", "spills", "scratch",
           "local_memory", "occupancy", "retried", "instructions", "loop_instructions", "fma_share", "fmas_each",
           "made_from")
MOST_LOCAL = 32 << 10
TOLERANCE = 5  # points of the share


@dataclass
class Row:
    target: object
    program: object
    kernel: str
    items: int
    configurations: list
    figures: object = None  # Figures; None: it did not compile
    error: str = ""
    made_from: str = ""  # a hash of the text and of all that compiled it

    @property
    def key(self):
        return (self.target.name, self.program.file, self.program.options, self.kernel)

    def cells(self):
        f, values = self.figures, dict(zip(KEY, self.key))
        values.update(configurations="+".join(self.configurations), work_items=self.items)
        if f:
            values.update(simd=f.simd, registers=f.registers, scalar_spills=f.scalar_spills, spills=f.spills,
                          scratch=f.scratch, local_memory=f.local, retried="yes" if f.retried else "",
                          occupancy=f.occupancy, instructions=f.instructions,
                          made_from="" if f.unresolved else self.made_from)
            if f.loop:
                values.update(loop_instructions=f.loop.instructions, fma_share=f"{f.loop.share:.0f}",
                              fmas_each=f"{f.loop.each:.2f}")
        return values

    def faults(self, baseline):
        """What is wrong with it, as words; `baseline` is its row of the file, if it has one."""
        f = self.figures
        if not f:
            return [self.error]
        found = [f"calls {name}, which is not defined" for name in f.unresolved]
        if f.spills:
            found.append(f"spills {f.spills}")
        if f.scratch:
            found.append(f"{f.scratch} bytes of scratch memory")
        if f.retried:
            found.append("compiled again with less optimisation")
        if f.local > MOST_LOCAL:
            found.append(f"{f.local} bytes of local memory, {MOST_LOCAL} at most")
        share = float(baseline["fma_share"] or 0) if baseline else 0
        own = f.loop.share if f.loop else 0
        if own < share - TOLERANCE:
            found.append(f"{own:.0f} % of the hot loop multiply and add, {share:.0f} % before")
        return found


def collect(compiler, logs, targets):
    """Rows of all kernels of `logs` (variants.py) on the targets."""
    wanted = {target.name: of_target(logs, target) for target in targets}
    work = {}
    for target in targets:
        for program, kernel in wanted[target.name]:
            work.setdefault(program, {}).setdefault(target, set()).add(kernel)
    compiled = compiler.run(work)
    rows = []
    for target in targets:
        for (program, kernel), (items, configurations) in wanted[target.name].items():
            made, made_from = compiled[program][target.name]
            row = Row(target, program, kernel, items, configurations, made_from=made_from)
            if isinstance(made, CompileError):
                row.error = "does not compile: " + str(made)
            elif kernel not in made:
                row.error = "the compiler's output has no such kernel"
            else:
                row.figures = made[kernel]
                if target.compiler.__name__.endswith(("nvidia", "intel")) and not row.figures.unresolved:
                    row.figures.occupancy = target.compiler.occupancy(row.figures, target.name, items)
            rows.append(row)
    order = [t.name for t in TARGETS]
    return sorted(rows, key=lambda row: (row.key[1:], order.index(row.key[0])))


def read(path=BASELINE):
    """{key: row} of a file of figures; nothing where there is none."""
    if not Path(path).exists():
        return {}
    with open(path, newline="") as file:
        return {tuple(row[k] for k in KEY): row for row in csv.DictReader(l for l in file if not l.startswith("#"))}


def figures_of(cells):
    """What a line of the file says; its loop to the rounding."""
    number = lambda name: int(cells[name] or 0)
    instructions = number("loop_instructions")
    loop = Loop(instructions, number("fma_share") * instructions / 100, float(cells["fmas_each"]) * instructions) \
        if instructions else None
    return Figures(simd=number("simd"), registers=number("registers"), scalar_spills=number("scalar_spills"),
                   spills=number("spills"), scratch=number("scratch"), local=number("local_memory"),
                   occupancy=number("occupancy"), retried=bool(cells["retried"]), instructions=number("instructions"),
                   loop=loop)


def known(baseline):
    """{what a program was made from: {kernel: Figures}} of read()'s lines, which need not be compiled again."""
    found = {}
    for (_, _, _, kernel), cells in baseline.items():
        if cells.get("made_from"):
            found.setdefault(cells["made_from"], {})[kernel] = figures_of(cells)
    return found


def write(rows, versions, path=BASELINE):
    with open(path, "w", newline="") as file:
        for vendor, version in sorted(versions.items()):
            file.write(f"# {vendor}: {version}\n")
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        table.writeheader()
        table.writerows(row.cells() for row in rows)


def show(rows):
    """The table for people: a line for each kernel that has a hot loop, and totals."""
    for row in rows:
        cells = {k: str(v) for k, v in row.cells().items()}
        print(f"{row.target.name:8} {cells['file']:19} {cells['kernel']:22} {cells.get('registers', '-'):>4} registers "
              f"{cells.get('occupancy', '-'):>3} % full {cells.get('fma_share', ''):>3} % "
              f"{cells.get('fmas_each', ''):>4} {cells['options']}")
