#!/bin/sh
# Installs what is missing, builds and runs the tests; see usage() below.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit 1
script=test.sh
. "$root/tools/setup.sh"

usage() {
    cat <<'END'
usage: tools/test.sh [OPTION...] [TEST...]

Installs what is missing (Debian, Ubuntu), builds into build/ and runs all tests, or those that are named. Ends in a line
'N passed, N failed'; the exit status is 0 if none failed.

  --no-install      only say what is missing
  --help            this text
END
}

install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) install=no ;;
    -*) misuse "unknown option $1" ;;
    *) break ;;
    esac
    shift
done

install_missing $install
build
meson test -C "$root/build" --no-rebuild --print-errorlogs "$@"
status=$?
awk '/^Ok:/ { passed += $2 } /^Skipped:/ { skipped += $2 }
     /^(Fail|Unexpected Pass|Timeout):/ { failed += $NF }
     END { printf "%d passed, %d failed%s\n", passed, failed, skipped ? ", " skipped " skipped" : "" }' \
    "$root/build/meson-logs/testlog.txt"
exit $status
