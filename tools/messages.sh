# Sourced by the scripts beside it, whose name is in $script: what they say, and how they end.

say() { printf '%s: %s\n' "$script" "$*" >&2; }
fail() { say "$@"; exit 1; }
misuse() { say "$* (--help shows the usage)"; exit 2; }
