#!/bin/sh
# check_runtimes.sh RUNTIMES BUILD: defects that are seeded into a kernel are found by Oclgrind as
# tools/runtimes.sh runs it, and a sound kernel passes. check_add runs add_plain.
. "$(dirname "$0")/shell.sh"
runtimes=$1 build=$2 check_add=$2/tests/check_add

on_oclgrind() { "$runtimes" --no-install --build "$build" --runtime oclgrind --run "$@"; }
on_oclgrind true >out 2>&1 || { cat out; exit 77; }

# seeded WHAT WORD: Oclgrind says WORD of the body of add_plain on stdin.
seeded() {
    what=$1 word=$2
    {
        echo '__kernel void add_plain(__global const float *a, const ulong a_at, __global const float *b, const ulong b_at,'
        echo '    __global float *y, const ulong y_at, const int rows, const int quads, const int a_pitch,'
        echo '    const int b_pitch, const int y_pitch)'
        cat
    } >add.cl
    on_oclgrind env WALSH_KERNEL_DIR=. WALSH_TILES=gpu "$check_add" >out 2>&1
    expect test $? != 0
    grep -q "^oclgrind: .* $word" out || problem "no '$word' in: $(tail -n 3 out)"
}

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
exit $((failures > 0))
