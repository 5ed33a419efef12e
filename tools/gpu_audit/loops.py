"""Loops in machine code: where a kernel spends its time, without running it."""
from dataclasses import dataclass, field


@dataclass
class Instruction:
    fmas: int = 0  # multiply-adds a lane: 2 where an instruction holds two
    targets: tuple = ()  # labels it may jump to
    falls_through: bool = True  # to the next instruction


@dataclass
class Code:
    """A kernel's instructions, and the index of the one after each label."""

    instructions: list = field(default_factory=list)
    labels: dict = field(default_factory=dict)

    def label(self, name):
        self.labels[name] = len(self.instructions)

    def add(self, *args):
        self.instructions.append(Instruction(*args))


@dataclass
class Loop:
    instructions: int
    fma_instructions: int
    fmas: int

    @property
    def share(self):
        """Per cent of the instructions that multiply and add."""
        return 100 * self.fma_instructions / self.instructions

    @property
    def each(self):
        """Multiply-adds an instruction."""
        return self.fmas / self.instructions


def _blocks(code):
    """Basic blocks as (first, end), and their successors."""
    count = len(code.instructions)
    starts = {0} | {at for at in code.labels.values() if at < count}
    for i, instruction in enumerate(code.instructions[:-1]):
        if instruction.targets or not instruction.falls_through:
            starts.add(i + 1)
    starts = sorted(starts)
    number = {start: b for b, start in enumerate(starts)}
    blocks = list(zip(starts, starts[1:] + [count]))
    followers = []
    for b, (_, end) in enumerate(blocks):
        last = code.instructions[end - 1]
        at = [code.labels[t] for t in last.targets if t in code.labels]
        after = {number[a] for a in at if a < count}
        if last.falls_through and b + 1 < len(blocks):
            after.add(b + 1)
        followers.append(after)
    return blocks, followers


def _dominators(followers):
    """For each block the set, as bits, of those that every way to it passes; None: it is never reached."""
    order, seen, stack = [], {0}, [(0, iter(followers[0]))]
    while stack:
        block, rest = stack[-1]
        after = next((f for f in rest if f not in seen), None)
        if after is None:
            order.append(block)
            stack.pop()
        else:
            seen.add(after)
            stack.append((after, iter(followers[after])))
    before = [[] for _ in followers]
    for block in order:
        for after in followers[block]:
            before[after].append(block)
    everything = (1 << len(followers)) - 1
    dominators = [everything if block in seen else None for block in range(len(followers))]
    dominators[0] = 1
    changed = True
    while changed:
        changed = False
        for block in reversed(order):
            if block == 0:
                continue
            common = everything
            for b in before[block]:
                common &= dominators[b]
            common |= 1 << block
            changed |= common != dominators[block]
            dominators[block] = common
    return dominators, before


def natural_loops(code):
    """Sets of instructions' ranges: the bodies of all loops, each with its inner ones."""
    if not code.instructions:
        return []
    blocks, followers = _blocks(code)
    dominators, before = _dominators(followers)
    bodies = {}
    for block, after in enumerate(followers):
        for head in after:
            if dominators[block] is None or not dominators[block] >> head & 1:
                continue
            body, stack = bodies.setdefault(head, {head}), [block]
            while stack:
                at = stack.pop()
                if at not in body:
                    body.add(at)
                    stack.extend(before[at])
    return [[blocks[b] for b in sorted(body)] for body in bodies.values()]


def _measure(code, ranges):
    inside = [code.instructions[i] for first, end in ranges for i in range(first, end)]
    return Loop(len(inside), sum(i.fmas > 0 for i in inside), sum(i.fmas for i in inside))


LEAST = 8  # multiply-adds of a loop that is worth looking at


def hot_loop(code):
    """The innermost loop with most multiply-adds, everything in it counted; None where there is none."""
    loops = [(frozenset(r), _measure(code, r)) for r in natural_loops(code)]
    loops = [(ranges, loop) for ranges, loop in loops if loop.fmas >= LEAST]
    inner = [loop for ranges, loop in loops if not any(other < ranges for other, _ in loops)]
    return max(inner, key=lambda loop: loop.fmas, default=None)
