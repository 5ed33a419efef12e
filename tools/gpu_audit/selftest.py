"""Seeded defects, one of each kind, that the audit must find on every target whose compiler is there."""
import tempfile
from pathlib import Path

from .compile import Compiler
from .results import collect
from .variants import Program

CLEAN = """
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void clean(__global float *x, const int n)
{
    float4 sum = (float4)(0.0f), factor = vload4(get_local_id(0), x);
    for (int i = 0; i < n; i += 4) {
        const float4 v = *(__global const float4 *)(x + i);
        sum += v.s0 * factor;
        sum += v.s1 * factor;
        sum += v.s2 * factor;
        sum += v.s3 * factor;
    }
    vstore4(sum, get_global_id(0), x);
}
"""
# What no register file can index as it runs.
SCRATCH = """
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void scratch(__global float *x, __global const int *at)
{
    float own[256];
    for (int i = 0; i < 256; i++) own[i] = x[i * 64 + get_local_id(0)];
    for (int i = 0; i < 256; i++) own[at[i + get_local_id(0)] & 255] += own[at[i] & 255];
    for (int i = 0; i < 256; i++) x[i * 64 + get_local_id(0)] = own[i];
}
"""
# More sums than a work-item has registers, all wanted at once.
SPILL = """
__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void spill(__global float *x, const int n)
{
    float16 sum[40];
#pragma unroll
    for (int i = 0; i < 40; i++) sum[i] = vload16(i * 64 + get_local_id(0), x);
    for (int k = 0; k < n; k++)
#pragma unroll
        for (int i = 0; i < 40; i++) sum[i] = sum[i] * sum[(i + 7) % 40] + x[k];
#pragma unroll
    for (int i = 0; i < 40; i++) vstore16(sum[i], i * 64 + get_local_id(0), x);
}
"""
UNRESOLVED = """
float elsewhere(float x);
__kernel void unresolved(__global float *x)
{
    x[get_global_id(0)] = elsewhere(x[get_global_id(0)]);
}
"""
LOCAL = """
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void local_memory(__global float *x)
{
    __local float all[10240];
    for (int i = get_local_id(0); i < 10240; i += 64) all[i] = x[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = get_local_id(0); i < 10240; i += 64) x[i] = all[10239 - i];
}
"""
BROKEN = "__kernel void broken(__global float *x) { x[0] = y; }\n"

# File, kernel, text, and a word of what has to be said about it; none: nothing is to be said.
SEEDS = [("clean", "clean", CLEAN, ()), ("scratch", "scratch", SCRATCH, ("scratch", "again")),
         ("spill", "spill", SPILL, ("spill", "scratch", "again")),
         ("unresolved", "unresolved", UNRESOLVED, ("not defined", "does not compile")),
         ("local_memory", "local_memory", LOCAL, ("local memory",)),
         ("broken", "broken", BROKEN, ("does not compile",))]


def _problems(row, words):
    faults = row.faults(None)
    if not words:
        return [f"{row.target.name}: a clean kernel has faults: {faults}"] if faults else []
    if not any(word in fault for fault in faults for word in words):
        return [f"{row.target.name}: {row.kernel}: expected a word of {words}, found {faults}"]
    return []


def _share_problems(row):
    """A share that drops by more than the tolerance, and one that does not."""
    loop = row.figures.loop
    if not loop:
        return [f"{row.target.name}: no hot loop found"]
    before = {"fma_share": str(loop.share + 6)}, {"fma_share": str(loop.share + 4)}
    if not any("hot loop" in fault for fault in row.faults(before[0])):
        return [f"{row.target.name}: a share that dropped is not seen"]
    return [f"{row.target.name}: a share that hardly dropped is a fault"] if row.faults(before[1]) else []


def run(tools, targets):
    """Prints what was not found, and returns 0 where all was."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for file, _, text, _ in SEEDS:
            Path(folder, file + ".cl").write_text(text)
        log = {(Program(file, ""), kernel): 64 for file, kernel, _, _ in SEEDS}
        rows = collect(Compiler(tools, Path(folder)), {"gpu": log}, targets)
    words = {kernel: expected for _, kernel, _, expected in SEEDS}
    for row in rows:
        problems += _problems(row, words[row.kernel])
        if row.kernel == "clean" and row.figures:
            problems += _share_problems(row)
    for problem in problems:
        print(problem)
    print(f"{len(rows)} seeded kernels on {', '.join(t.name for t in targets)}: {len(problems)} problems")
    return 1 if problems else 0
