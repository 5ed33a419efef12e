"""NVIDIA, by LLVM's back end and libclc to PTX, NVIDIA's ptxas to machine code and nvdisasm back to text."""
import re
import subprocess

from .figures import CompileError, Figures
from .loops import Code, hot_loop

# Of a processor: warps, bytes of shared memory, of which each work-group takes 1 KiB more from sm_80 on.
LIMITS = {"sm_75": (32, 64 << 10, 0), "sm_80": (64, 164 << 10, 1 << 10), "sm_90": (64, 228 << 10, 1 << 10)}
REGISTERS = 64 << 10
WARP = 32
# libclc has not all functions for this target; what they cost there is not what is looked at.
STAND_INS = ["-Dnative_exp=exp", "-Dnative_exp2=exp2", "-Dnative_log=log", "-Dnative_log2=log2"]

INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)")
LABEL = re.compile(r"^(\.L_\w+):")
BRANCH = re.compile(r"`\((\.L_\w+)\)")


def command(tools, target, options):
    return [tools.clang, "-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", target, "-x", "cl",
            "-O3", "-Wno-linker-warnings", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
            tools.clc / "nvptx64--nvidiacl.bc", *STAND_INS, *options]


def _parse_code(lines):
    code = Code()
    for line in lines:
        label = LABEL.match(line.strip())
        if label:
            code.label(label.group(1))
        instruction = INSTRUCTION.search(line)
        if not instruction:
            continue
        condition, name, rest = instruction.groups()
        if name == "NOP":
            continue
        operation = name.split(".")[0]
        if operation in ("BRA", "BRX", "JMP"):
            target = BRANCH.search(rest)
            also = condition or re.search(r"\bU?P\d", rest)
            code.add(0, (target.group(1),) if target else (), bool(also))
        else:
            code.add({"FFMA": 1, "FFMA2": 2}.get(operation, 0), (), operation != "EXIT" or bool(condition))
    return code


def _occupancy(target, registers, local, group):
    warps_most, shared, each = LIMITS[target]
    warps = -(-group // WARP)
    by_registers = REGISTERS // (-(-registers // 8) * 8 * WARP) // warps if registers else warps_most
    by_shared = shared // (local + each) if local + each else warps_most
    return round(100 * min(warps_most, warps * min(by_registers, by_shared, 16 if each == 0 else 32)) / warps_most)


def _run(command, what, environment=None):
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        raise CompileError(f"{what}: {(run.stderr or run.stdout).strip()}")
    return run.stdout + run.stderr


def parse(ptx, report, sass, target):
    """Figures of every kernel; the occupancy is left to the work-group's size."""
    missing = re.findall(r"\.extern \.func.*?\b(\w+)\s*\n?\(", ptx)
    kernels = {}
    for name, text in re.findall(r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry|\Z)", report, re.S):
        def number(pattern):
            found = re.search(pattern, text)
            return int(found.group(1)) if found else 0
        section = re.search(rf"\n\.text\.{name}:\n(.*?)(?=\n\.text\.|\n\t?\.section|\Z)", sass, re.S)
        code = _parse_code(section.group(1).split("\n") if section else [])
        kernels[name] = Figures(
            simd=WARP,
            registers=number(r"Used (\d+) registers"),
            spills=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
            scratch=number(r"(\d+) bytes stack frame"),
            local=number(r"(\d+) bytes smem"),
            unresolved=[m for m in missing],
            instructions=len(code.instructions),
            loop=hot_loop(code))
    return kernels


def audit(tools, target, source, options, folder):
    ptx, cubin = folder / "k.ptx", folder / "k.cubin"
    _run(command(tools, target, options) + ["-S", source, "-o", ptx], "clang", tools.environment)
    text = ptx.read_text()
    missing = re.findall(r"\.extern \.func.*?\b(\w+)\s*\n?\(", text)
    if missing:  # ptxas refuses the file; the kernels' names are enough
        return {name: Figures(unresolved=missing) for name in re.findall(r"\.entry (\w+)\(", text)}
    report = _run([tools.ptxas, "-v", "-arch=" + target, ptx, "-o", cubin], "ptxas")
    return parse(text, report, _run([tools.nvdisasm, "-c", cubin], "nvdisasm"), target)


def occupancy(figures, target, group):
    return _occupancy(target, figures.registers, figures.local, group)
