#!/bin/sh
# check_runtimes.sh RUNTIMES BUILD: defects that are seeded into a kernel are found by its test, or by Oclgrind as
# tools/runtimes.sh runs it, and a sound kernel passes. check_add runs add_plain.
. "$(dirname "$0")/shell.sh"
runtimes=$1 build=$2 check_add=$2/tests/check_add

on_oclgrind() { "$runtimes" --no-install --build "$build" --runtime oclgrind --run "$@"; }

# kernel: add.cl holds add_plain, with the body on stdin.
kernel() {
    {
        printf '#ifndef RELU\n#define RELU 0\n#endif\n'
        echo '__kernel void add_plain(__global const float *a, const ulong a_at, __global const float *b,'
        echo '    const ulong b_at, __global float *y, const ulong y_at, const int rows, const int quads,'
        echo '    const int a_pitch, const int b_pitch, const int y_pitch)'
        cat
    } >add.cl
}

# seeded WHAT WORD: Oclgrind says WORD of the body on stdin.
seeded() {
    what=$1 word=$2
    kernel
    on_oclgrind env WALSH_KERNEL_DIR=. WALSH_TILES=gpu "$check_add" >out 2>&1
    expect test $? != 0
    grep -q "^oclgrind: .* $word" out || problem "no '$word' in: $(tail -n 3 out)"
}

# tiles_of SIZE: the sum of whole tiles of SIZE channels, on the tests' own device.
tiles_of() {
    kernel <<END
{
    const int end = 4 * quads / $1 * $1;
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    for (int i = 4 * (int)get_global_id(0); i < 4 * (int)get_global_id(0) + 4 && i < end; i++) {
        const float sum = a[a_at + row * a_pitch + i] + b[b_at + row * b_pitch + i];
        y[y_at + row * y_pitch + i] = RELU && sum <= 0.0f ? 0.0f : sum;
    }
}
END
    WALSH_KERNEL_DIR=. "$check_add" >out 2>&1
}
what='tiles that fit'
tiles_of 4
expect test $? = 0
what='a wrong edge of a tile'
tiles_of 8
expect test $? != 0

on_oclgrind true >out 2>&1 || { cat out; exit $((failures > 0 ? 1 : 77)); }
seeded 'a race' races <<'END'
{
    y[y_at] = (float)get_global_id(0);
}
END
seeded 'a missing barrier' races <<'END'
{
    __local float shared[256];
    const int i = (int)get_local_id(0), n = (int)get_local_size(0);
    shared[i] = (float)i;
    y[y_at + get_global_id(0)] = shared[(i + 1) % n];
}
END
seeded 'a read out of bounds' 'accesses out of bounds' <<'END'
{
    y[y_at + get_global_id(0)] = a[a_at + 4096 + get_global_id(0)];
}
END
seeded 'a write out of bounds' 'accesses out of bounds' <<'END'
{
    y[y_at + 4096 + get_global_id(0)] = 1.0f;
}
END
seeded 'a value that was never set' 'uninitialised values' <<'END'
{
    float sum[2];
    sum[0] = 1.0f;
    if (sum[rows > 0] > 0.0f) y[y_at + get_global_id(0)] = 1.0f;
}
END
seeded 'a barrier that not all reach' 'divergent barriers' <<'END'
{
    if (get_local_id(0) == 0) barrier(CLK_LOCAL_MEM_FENCE);
    y[y_at + get_global_id(0)] = 1.0f;
}
END

what='a sound kernel'
on_oclgrind "$check_add" >out 2>&1
expect test $? = 0
! grep -q '^oclgrind:' out || problem "$(tail -n 3 out)"

# Logs are read by name: the one that failed first, and last.
for failing in a-part z-part; do
    what="a test that fails in $failing and passes in another"
    mkdir -p parts/meson-logs parts/runtimes
    rm -f parts/meson-logs/*
    echo '{"name": "suite / twice", "result": "OK", "duration": 1}' >parts/meson-logs/testlog-oclgrind-m-part.json
    echo '{"name": "suite / twice", "result": "FAIL", "duration": 1}' >"parts/meson-logs/testlog-oclgrind-$failing.json"
    python3 "$(dirname "$runtimes")/runtimes_report.py" tests . parts 1 '' >out 2>&1
    expect test $? != 0
    grep -q '^twice *FAILED' out || problem "$(cat out)"
done
exit $((failures > 0))
