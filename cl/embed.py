#!/usr/bin/env python3
"""Write the kernel files as C strings: embed.py OUTPUT.c FILE.cl...

A line `#include "x.clh"` is replaced by that file's text, so that the embedded source needs no
include path; the files also compile alone with -I cl.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^#include "([^"]+)"$', re.M)


def source(path):
    return INCLUDE.sub(lambda m: source(path.parent / m.group(1)), path.read_text())


def c_string(text):
    """One literal a line: C11 only promises 4095 characters a literal, so an array of bytes is safer."""
    data = text.encode() + b"\0"
    rows = [data[i:i + 24] for i in range(0, len(data), 24)]
    return "".join("    " + "".join(f"{b}," for b in row) + "\n" for row in rows)


def main():
    out, files = pathlib.Path(sys.argv[1]), [pathlib.Path(f) for f in sys.argv[2:]]
    text = '#include "engine/device/program.h"\n\n'
    for f in files:
        text += f"static const char {f.stem}[] = {{\n{c_string(source(f))}}};\n\n"
    text += "const walsh_kernel_file walsh_kernel_files[] = {\n"
    text += "".join(f'    {{"{f.stem}", {f.stem}}},\n' for f in files)
    text += "    {0, 0},\n};\n"
    out.write_text(text)


main()
