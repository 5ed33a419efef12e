"""Intel, by its own compiler: what ocloc lets IGC dump. A SIMD width that spills too much is tried again narrower, or
with less optimisation, which the compiler does not say: the dump's names do ("_1_")."""
import re
import subprocess

from .figures import CompileError, Figures
from .loops import Code, hot_loop

# Of a (sub)slice, the processor that a work-group has to itself: threads, bytes of local memory.
LIMITS = {"skl": (56, 64 << 10), "dg2": (128, 128 << 10)}

INSTRUCTION = re.compile(r"^(\([^)]*\)\s*)?\s*([a-z][a-z0-9]*)(\.[a-z0-9_.]+)?\s+(.*)")
LABEL = re.compile(r"^(\w+):\s*$")
JUMPS = {"goto", "join", "jmpi", "while", "if", "else", "endif", "break", "cont", "brd", "brc"}


def _parse_code(text):
    code = Code()
    for line in text.split("\n"):
        label = LABEL.match(line)
        if label:
            code.label(label.group(1))
            continue
        instruction = INSTRUCTION.match(line)
        if not instruction or line.startswith("//"):
            continue
        predicate, name, _, rest = instruction.groups()
        rest = rest.split("//")[0]
        if name in JUMPS:
            targets = tuple(re.findall(r"\s(_?[A-Za-z]?\w*_\w+|L\d+)\b", " " + re.sub(r"^\([^)]*\)", "", rest)))
            conditional = name != "jmpi" or re.match(r"\((W&)?~?f\d", predicate or "")
            code.add(0, targets, bool(conditional))
        else:
            fma = name in ("mad", "mac") and ":f" in rest
            code.add(1 if fma else 0, (), "EOT" not in rest)
    return code


def _number(pattern, text):
    return max((int(n) for n in re.findall(pattern, text)), default=0)


def _kernel(asm, patches, retried):
    text = asm.read_text()
    code = _parse_code(text)
    return Figures(
        simd=_number(r"_simd(\d+)_", asm.name),
        registers=_number(r"numGRF=(\d+)", text),
        spills=_number(r"//\.spill size (\d+)", text),
        scratch=max(_number(r"PerThreadPrivateMemorySize *= *(\d+)", patches),
                    _number(r"PerThreadScratchSpace *= *(\d+)", patches)),
        local=_number(r"TotalInlineLocalMemorySize *= *(\d+)", patches),
        retried=retried,
        unresolved=sorted(set(re.findall(r"RelocSymbol\(.*?\): (\w+)", patches))),
        instructions=len(code.instructions),
        loop=hot_loop(code))


def audit(tools, target, source, options, folder):
    dump = folder / "dump"
    environment = dict(tools.environment, IGC_ShaderDumpEnable="1", IGC_DumpToCustomDir=str(dump))
    run = subprocess.run([tools.ocloc, "compile", "-file", source, "-device", target, "-options", " ".join(options),
                          "-output_no_suffix", "-output", "k", "-out_dir", folder], env=environment,
                         capture_output=True, text=True)
    if run.returncode:
        raise CompileError(run.stdout.strip() + run.stderr.strip())
    patches = {}
    for file in dump.glob("*_entry_*.cos"):
        text = file.read_text()
        patches[re.search(r"Kernel Name = (\w+)", text).group(1)] = (file, text)
    kernels = {}
    for name, (file, text) in patches.items():
        simd = re.search(r"_simd\d+_", file.name).group(0)
        entry = re.search(r"_entry_\d+", file.name).group(0)
        retries = sorted(dump.glob(f"*_[1-9]{simd}*{entry.removeprefix('_')}.asm"))
        first = [f for f in dump.glob(f"*{simd}*{entry.removeprefix('_')}.asm") if f not in retries]
        kernels[name] = _kernel((retries or first)[-1], text, bool(retries))
    return kernels


def occupancy(figures, target, group):
    """A thread's registers are its own: only local memory limits how many threads run."""
    threads, local = LIMITS[target]
    each = -(-group // figures.simd)
    groups = min(threads // each if each <= threads else 0, local // figures.local if figures.local else threads)
    return round(100 * groups * each / threads)
