#!/bin/sh
# Runs the tests on several OpenCL runtimes; see usage() below.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit 1
script=runtimes.sh
. "$root/tools/setup.sh"

usage() {
    cat <<'END'
usage: tools/runtimes.sh [OPTION...] [TEST...]
       tools/runtimes.sh --runtime NAME --run COMMAND...

Runs the tests, or those that are named, on each OpenCL runtime and prints a table of tests by runtimes, which kernels
were run on how many of them, and a line 'N passed, N failed'. The exit status is 0 if no test failed, Oclgrind found
nothing, and every variant of a kernel (by its build options, but for sizes) ran on three runtimes; if some are left
out, on all but rusticl, or with --subset on one, as on CPUs with AVX-512. The runtimes:

  pocl        POCL, as it is installed
  intel       Intel's runtime for CPUs, from PyPI
  rusticl     Mesa's rusticl on llvmpipe, from Debian's or Ubuntu's packages; not for what is laid out for CPUs, which
              it takes too long to compile
  oclgrind    Oclgrind, which interprets kernels and finds races, uninitialised values and accesses out of bounds; it
              runs the tests of kernels alone, a few cases of each

What is missing is installed below --cache, but for packages that only add libraries; the system's list of OpenCL
drivers stays as it is. A runtime that cannot be installed, or that refuses this machine, is skipped, with the reason.

  --runtime NAME    this one (several times: these); default: all
  --subset          all tests on POCL; on the others those of kernels, a few cases of each
  --minutes N       skips the runtimes whose tests would begin later than that
  --tested LOG      tools/test.sh has run the tests on POCL, with WALSH_KERNEL_LOG=LOG: its results count
  --table FILE      writes the table as Markdown
  --losses          instead: the losses of 20 training steps on each runtime, twice, and their largest differences
  --run COMMAND...  instead: runs a command on the runtime; fails if Oclgrind finds anything
  --build DIR       the build to test; default: build
  --cache DIR       where runtimes are kept; default: ~/.cache/walsh/runtimes
  --no-install      only use what is there
  --help            this text
END
}

all='pocl intel rusticl oclgrind'
build=$root/build runtimes='' subset='' tested='' last='' table='' what=tests install=yes
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/walsh/runtimes
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --runtime | --table | --cache | --build | --tested | --minutes) [ $# -gt 1 ] || misuse "$1 needs an argument" ;;
    esac
    case $1 in
    --runtime)
        case " $all " in *" $2 "*) ;; *) misuse "--runtime: expected one of $all, found $2" ;; esac
        runtimes="$runtimes $2"
        shift
        ;;
    --table) table=$2; shift ;;
    --cache) cache=$2; shift ;;
    --build)
        case $2 in /*) build=$2 ;; *) build=$PWD/$2 ;; esac
        shift
        ;;
    --subset) subset=yes ;;
    --tested) tested=$2; shift ;;
    --minutes)
        case $2 in '' | *[!0-9]*) misuse "--minutes: expected a whole number, found '$2'" ;; esac
        last=$(($(date +%s) + 60 * $2))
        shift
        ;;
    --losses) what=losses ;;
    --no-install) install=no ;;
    --run) what=run; shift; break ;;
    -*) misuse "unknown option $1" ;;
    *) break ;;
    esac
    shift
done
[ -n "$runtimes" ] || runtimes=$all

# ---- Where each runtime is: sets $library, what an .icd file holds, or $reason, why there is none. ----

first_of() { for path; do [ -e "$path" ] && printf '%s\n' "$path" && return; done; }

# With root's rights, or sudo's without a question; apt's lists are fetched where a package is not in them.
has_apt() {
    [ $install = yes ] && command -v apt-get >/dev/null || return
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || return
    apt-cache show "$@" >/dev/null 2>&1 || as_root apt-get update -q >&2
}
add_packages() {
    has_apt "$@" && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

# Debian's python3 needs a package more for this.
make_venv() { python3 -m venv "$1" >&2 || { add_packages python3-venv && python3 -m venv "$1" >&2; }; }

find_pocl() {
    icd=$(first_of "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/pocl*.icd)
    [ -n "$icd" ] && library=$(cat "$icd") || reason='there is no .icd file of it: install pocl-opencl-icd'
}

find_intel() {
    library=$(first_of "$cache"/intel/lib/libintelocl.so)
    [ -z "$library" ] && [ $install = yes ] && make_venv "$cache/intel" &&
        "$cache/intel/bin/pip" install -q intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 >&2
    library=$(first_of "$cache"/intel/lib/libintelocl.so)
    [ -n "$library" ] || reason='pip could not install intel-opencl-rt'
}

# The package would make rusticl one of the system's drivers: it is unpacked, and only what it depends on installed.
find_rusticl() {
    library=$(first_of "$cache"/rusticl/usr/lib/*/libRusticlOpenCL.so.1)
    if [ -z "$library" ] && has_apt mesa-opencl-icd; then
        rm -rf "$cache/rusticl" && mkdir -p "$cache/rusticl" &&
            (cd "$cache/rusticl" && apt-get download -q mesa-opencl-icd >&2 && dpkg-deb -x mesa-opencl-icd_*.deb .)
        library=$(first_of "$cache"/rusticl/usr/lib/*/libRusticlOpenCL.so.1)
    fi
    [ -n "$library" ] || { reason='apt-get could not download mesa-opencl-icd'; return; }
    depends=$(dpkg-deb -f "$cache"/rusticl/mesa-opencl-icd_*.deb Depends | tr ',' '\n' | sed 's/[|(].*//; s/ //g')
    missing=''
    for package in $depends; do dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"; done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || add_packages $missing || reason="these packages are not installed:$missing"
}

find_oclgrind() {
    library=$(first_of /usr/lib/oclgrind/liboclgrind-rt-icd.so /usr/lib/*/oclgrind/liboclgrind-rt-icd.so)
    [ -n "$library" ] || add_packages oclgrind
    library=$(first_of /usr/lib/oclgrind/liboclgrind-rt-icd.so /usr/lib/*/oclgrind/liboclgrind-rt-icd.so)
    [ -n "$library" ] || reason='the package oclgrind is not installed'
}

# on RUNTIME COMMAND...: with the runtime as the only OpenCL driver; where that can be chosen, with as much local memory
# as any kernel asks for. What is done about its defects is explained in engine/device/quirks.h.
on() {
    runtime=$1 icd=$cache/icd/$1
    shift
    case $runtime in
    intel)
        set -- env LD_LIBRARY_PATH="$cache/intel/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
            CL_CONFIG_CPU_FORCE_LOCAL_MEM_SIZE=1MB "$@"
        ;;
    rusticl) set -- env RUSTICL_ENABLE=llvmpipe "$@" ;;
    oclgrind)
        set -- env OCLGRIND_DATA_RACES=1 OCLGRIND_UNINITIALIZED=1 OCLGRIND_CHECK_API=1 OCLGRIND_MAX_ERRORS=100 \
            OCLGRIND_LOCAL_MEM_SIZE=1048576 \
            OCLGRIND_BUILD_OPTIONS='-O1 -disable-llvm-passes' "$@"
        ;;
    esac
    env -u WALSH_DEVICE -u WALSH_TILES -u WALSH_DISABLE -u OCL_ICD_FILENAMES OCL_ICD_VENDORS="$icd" \
        OPENCL_VENDOR_PATH="$icd" "$@"
}

skip() {
    say "$1 is skipped: $2"
    printf '%s\t%s\n' "$1" "$2" >>"$results/skipped"
}

# Sets $usable to the runtimes that work here; says why the others are skipped, also to $results/skipped.
prepare() {
    usable=''
    for runtime in $runtimes; do
        library='' reason=''
        mkdir -p "$cache/icd/$runtime" || fail "cannot write to $cache"
        "find_$runtime"
        if [ -n "$library" ]; then
            printf '%s\n' "$library" >"$cache/icd/$runtime/$runtime.icd"
            on "$runtime" "$build/apps/walsh" devices >"$results/$runtime.devices" 2>&1 ||
                reason="it does not work here: $(tail -n 1 "$results/$runtime.devices")"
        fi
        if [ -z "$reason" ]; then usable="$usable $runtime"; else skip "$runtime" "$reason"; fi
    done
}

# ---- What is run. ----

# tests RUNTIME PART OPTION...: a part of the tests, whose results go to build/meson-logs/testlog-RUNTIME-PART.json.
tests() {
    runtime=$1 part=$2
    shift 2
    say "$runtime: $part"
    # shellcheck disable=SC2086 # a list of words
    on "$runtime" env $settings meson test -C "$build" --no-rebuild --quiet --print-errorlogs \
        --logbase "testlog-$runtime-$part" -t "$patience" "$@" >"$results/$runtime-$part.out" 2>&1 ||
        cat "$results/$runtime-$part.out"
}

# kernel_tests RUNTIME PART WORK OPTION...: those of kernels, with cases of at most WORK operations and bytes, or all.
kernel_tests() {
    runtime=$1 part=$2 work=$3
    shift 3
    WALSH_TEST_WORK=$work WALSH_KERNEL_LOG="$results/$runtime.kernels" tests "$runtime" "$part" "$@"
}

# It is a GPU by itself. CLBlast's kernels are no business of ours, large, and crash its check of uninitialised values;
# but gemm_start is there for them.
tests_on_oclgrind() {
    convolutions=conv_forward_clblast,conv_data_clblast,conv_filter_clblast
    patience=10 settings="WALSH_TILES=cpu WALSH_DISABLE=gemm_clblast,$convolutions"
    work=${subset:+2e3 7e6}
    kernel_tests oclgrind kernels "${work:-2e5}" --suite kernels \
        ${subset:+--no-suite slow_oclgrind --no-suite slow_checked_oclgrind} "$@"
    settings="WALSH_TILES=cpu WALSH_DISABLE=$convolutions OCLGRIND_UNINITIALIZED=0"
    kernel_tests oclgrind checked-less "${work:-2e5}" --suite clblast \
        ${subset:+--suite slow_checked_oclgrind} "$@"
}

# Whole, or a few cases of the tests of kernels.
tests_on() {
    runtime=$1 patience=10 settings=''
    shift
    case $runtime in
    pocl) patience=1 ;;
    rusticl) set -- --no-suite wide ${subset:+--no-suite slow_rusticl} "$@" ;;
    esac
    if [ "$runtime" != pocl ] && [ -n "$subset" ]; then kernel_tests "$runtime" kernels 2e7 --suite kernels "$@"
    else
        kernel_tests "$runtime" kernels '' --suite kernels "$@"
        tests "$runtime" others --no-suite kernels "$@"
    fi
}

losses_on() {
    for run in 1 2; do
        out=$results/losses/$1-$run
        rm -rf "$out"
        mkdir -p "$results/losses"
        on "$1" "$build/tests/step_losses" "$out" >"$out.txt" || say "$1: training failed"
    done
}

if [ $what = run ]; then
    results=$(mktemp -d) || exit 1
    trap 'rm -rf "$results"' EXIT
else
    install_missing $install
    [ "$build" != "$root/build" ] || build
    results=$build/runtimes
    mkdir -p "$results" || fail "cannot write to $results"
    rm -f "$results"/*.kernels "$results"/*.out "$results/skipped" "$build"/meson-logs/testlog-*-*.json
fi
prepare
case $what in
run)
    [ -n "$usable" ] || exit 77
    on "${usable# }" "$@" >"$results/run.out" 2>&1
    status=$?
    cat "$results/run.out"
    python3 "$root/tools/runtimes_report.py" scan "$results/run.out" || status=1
    exit $status
    ;;
losses)
    for runtime in $usable; do [ "$runtime" = oclgrind ] || losses_on "$runtime"; done
    exec python3 "$root/tools/runtimes_report.py" losses "$results/losses"
    ;;
esac
for runtime in $usable; do
    case $runtime$tested in
    pocl?*)
        logs=$build/meson-logs
        cp "$tested" "$results/pocl.kernels" && cp "$logs/testlog.json" "$logs/testlog-pocl-all.json" ||
            fail "--tested: expected what tools/test.sh left in $tested and in $logs/testlog.json"
        ;;
    *)
        if [ -n "$last" ] && [ "$(date +%s)" -gt "$last" ]; then skip "$runtime" 'no time was left'
        elif [ "$runtime" = oclgrind ]; then tests_on_oclgrind "$@"
        else tests_on "$runtime" "$@"; fi
        ;;
    esac
done
# Oclgrind runs what is laid out for vectors of 8; with wider ones the other runtimes run something else.
wanted=3
if [ -n "$subset" ] && { [ -s "$results/skipped" ] || grep -q avx512f /proc/cpuinfo; }; then wanted=1; fi
exec python3 "$root/tools/runtimes_report.py" tests "$root/cl" "$build" $wanted "$table"
