#!/bin/sh
# From a fresh clone to a trained network; see usage() below.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit 1
script=quickstart.sh
. "$root/tools/setup.sh"

usage() {
    cat <<'END'
usage: tools/quickstart.sh [OPTION...]

Installs what is missing (Debian, Ubuntu), builds into build/, and trains ResNet-20 on the built-in sample of CIFAR-10 with
a learned and with a Hadamard head: a few minutes on two cores. Ends in a table of the two.

  --epochs N        epochs of each run (default: 8)
  --no-install      only say what is missing
  --help            this text
END
}

install=yes epochs=8
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) install=no ;;
    --epochs) [ $# -ge 2 ] || misuse "--epochs: expected a number"; epochs=$2; shift ;;
    --epochs=*) epochs=${1#*=} ;;
    *) misuse "unknown option $1" ;;
    esac
    shift
done
case $epochs in '' | *[!0-9]* | 0) misuse "--epochs $epochs: expected a whole number of at least 1" ;; esac

install_missing $install
build

runs=$root/runs/$(date +%Y%m%d-%H%M%S)
table='head       error %   parameters      time   images/s'
for head in learned hadamard; do
    say "training ResNet-20 with a $head head in $runs/$head"
    line=$("$root/build/apps/walsh" train --model resnet20 --data sample --head $head --epochs "$epochs" \
        --out "$runs/$head") || exit
    printf '%s\n' "$line"
    # The line reads: resnet20, HEAD head: N parameters, error E % (best B %), TIME, R images/s, ...
    row=$(printf '%s\n' "$line" | sed -n \
        's|.* head: \([0-9]*\) parameters, error \([0-9.]*\) % ([^)]*), \([0-9:]*\), \([0-9]*\) images/s.*|\2 \1 \3 \4|p')
    # shellcheck disable=SC2086 # four words
    table=$(printf '%s\n%-9s %8s %12s %9s %10s' "$table" $head $row)
done
printf '\nResNet-20, %s epochs of 2,000 images, error on 1,000 others:\n%s\n' "$epochs" "$table"
printf '\nThe runs are in %s. Next: walsh train --help, or the README for whole data sets.\n' "$runs"
