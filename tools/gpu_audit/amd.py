"""AMD, by LLVM's back end and libclc: the assembly that clang -S writes."""
import re
import subprocess

from .figures import CompileError, Figures
from .loops import Code, hot_loop

MOST_WAVES = {"gfx1030": 16, "gfx90a": 8, "gfx1100": 16}  # of a SIMD unit
WIDTH = {"gfx1030": 32, "gfx90a": 64, "gfx1100": 32}

FMA = re.compile(r"\bv_(pk_|dual_)?(?:fma|fmac|mac|mad|fmaak|fmamk)_f32")
INSTRUCTION = re.compile(r"^\t([a-z]+_[a-z0-9_]+)(.*)")
LABEL = re.compile(r"^(\.LBB\d+_\d+):")
BRANCH = re.compile(r"\s(\.LBB\d+_\d+)")
SYMBOL = re.compile(r"\s([A-Za-z_]\w*)@(?:gotpcrel32|rel32)@lo")


def command(tools, target, options):
    return [tools.clang, "-target", "amdgcn-amd-amdhsa", "-mcpu=" + target, "-x", "cl", "-O3", "-nogpulib",
            "-Wno-linker-warnings", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
            tools.clc / "amdgcn--amdhsa.bc", *options]


def _parse_code(body):
    code = Code()
    for line in body:
        label = LABEL.match(line)
        if label:
            code.label(label.group(1))
        instruction = INSTRUCTION.match(line)
        if not instruction:
            continue
        name = instruction.group(1)
        fmas = sum(2 if kind == "pk_" else 1 for kind in FMA.findall(line))
        if name.startswith(("s_branch", "s_cbranch")):
            target = BRANCH.search(instruction.group(2) + " ")
            code.add(0, (target.group(1),) if target else (), name != "s_branch")
        else:
            code.add(fmas, (), name not in ("s_endpgm", "s_setpc_b64"))
    return code


def _number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def parse(text, target):
    """Figures of every kernel of an assembly text."""
    defined = set(re.findall(r"\.type\s+(\w+),@", text))
    metadata = dict(re.findall(r"\n {4}\.name: +(\w+)\n(.*?)(?=\n  - |\namdhsa)", text, re.S))
    kernels = {}
    for match in re.finditer(r"\n(\w+): +; @\1\n(.*?)\n\.Lfunc_end\d+:(.*?)(?=\n\t\.text|\Z)", text, re.S):
        name, body, after = match.groups()
        if f".amdhsa_kernel {name}\n" not in match.group(0) + after:
            continue
        code = _parse_code(body.split("\n"))
        waves = _number(r"; Occupancy: (\d+)", after)
        kernels[name] = Figures(
            simd=WIDTH[target],
            registers=_number(r"; TotalNumVgprs: (\d+)", after) or _number(r"; NumVgprs: (\d+)", after),
            scalar_spills=_number(r"\.sgpr_spill_count: +(\d+)", metadata.get(name, "")),
            spills=_number(r"\.vgpr_spill_count: +(\d+)", metadata.get(name, "")),
            scratch=_number(r"; ScratchSize: (\d+)", after),
            local=_number(r"; LDSByteSize: (\d+)", after),
            occupancy=round(100 * waves / MOST_WAVES[target]),
            unresolved=sorted(set(SYMBOL.findall(body)) - defined),
            instructions=len(code.instructions),
            loop=hot_loop(code))
    return kernels


def audit(tools, target, source, options, folder):
    out = folder / "k.s"
    run = subprocess.run(command(tools, target, options) + ["-S", source, "-o", out], env=tools.environment,
                         capture_output=True, text=True)
    if run.returncode:
        raise CompileError(run.stderr.strip())
    return parse(out.read_text(), target)
