"""Makes one C program of the examples in headers: every @code ... @endcode block becomes a function.

usage: examples.py OUTPUT HEADER...

The program runs all of them but those that train, which it runs too when it is given an argument.
"""
import pathlib
import re
import sys


def blocks(text):
    for block in re.findall(r"@code\n(.*?)@endcode", text, re.S):
        yield [re.sub(r"^ \* ?", "", line) for line in block.splitlines()][:-1]


def main():
    output, *headers = sys.argv[1:]
    parts, calls = ["#include <stdio.h>\n#include <stdlib.h>\n#include <walsh/walsh.h>\n"], []
    for header in map(pathlib.Path, headers):
        for number, lines in enumerate(blocks(header.read_text()), 1):
            name = f"{header.stem}_{number}"
            body = "".join(f"    {line}\n" for line in lines)
            parts.append(f"static void {name}(void)\n{{\n{body}}}\n")
            long = any("walsh_train(" in line for line in lines)
            calls.append(f"    {'if (argc > 1) ' if long else ''}{name}();\n")
    if not calls:
        sys.exit("examples.py: no example found")
    parts.append(f"int main(int argc, char **argv)\n{{\n    (void)argc, (void)argv;\n{''.join(calls)}    return 0;\n}}\n")
    pathlib.Path(output).write_text("\n".join(parts))


main()
