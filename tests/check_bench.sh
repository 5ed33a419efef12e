#!/bin/sh
# `walsh bench`, the command given as $1: each member runs on small sizes, its JSON has the fields that scripts read, and
# wrong arguments are refused in one line. No figure is checked but for its sign: machines differ. $2 is tests/images.
set -u
walsh=$(realpath "$1") images=$(realpath "$2") || exit 1
. "$(dirname "$0")/shell.sh"
unset WALSH_LOG WALSH_DISABLE
WALSH_CACHE=$folder/cache # no wisdom of the user's
export WALSH_CACHE

# refuse WORD ARGUMENT...: exit 2, one line on stderr that mentions WORD, nothing on stdout.
refuse() {
    what=$* word=$1
    shift
    "$walsh" bench "$@" >out 2>err
    status=$?
    [ $status = 2 ] || problem "exit $status: $(cat err)"
    grep -qF -- "$word" err || problem "no '$word' in: $(cat err)"
    [ "$(wc -l <err)" = 1 ] && grep -q '^walsh' err && [ ! -s out ] || problem "not one line on stderr: $(cat err out)"
}

# measure PYTHON ARGUMENT...: runs with --json; PYTHON is an expression over `rows`, all but the peaks, that must hold.
measure() {
    what=$* condition=$1
    shift
    if ! "$walsh" bench "$@" --repeats 1 --json >out 2>err; then
        problem "failed: $(cat err)"
        return
    fi
    CONDITION=$condition python3 - out >err 2>&1 <<'END' || problem "$(tail -n 1 err)"
import json, os, sys
everything = json.load(open(sys.argv[1]))
rows = [row for row in everything if not row["op"].startswith("peak_")]
assert rows, "no rows"
for row in everything:
    for key in "op", "variant", "ms", "ms_min", "gflops", "gbs", "bound", "peak_share":
        assert key in row, f"no {key} in {row}"
    assert 0 < row["ms_min"] <= row["ms"], row
    assert row["bound"] in ("fma", "memory", None), row
    assert (row["bound"] is None) == (row["peak_share"] is None), row
    assert row["bound"] is None or 0 < row["peak_share"] <= row["peak_share_best"], row
if rows[0]["bound"]:
    assert {row["op"] for row in everything} >= {"peak_fma", "peak_stream"}, "a peak is missing"
assert eval("(" + os.environ["CONDITION"] + ")"), f"not so: {os.environ['CONDITION']}: {rows}"
END
}

runs() {
    measure '{r["op"] for r in rows} == {"conv_forward", "conv_data", "conv_filter"} and
             sum(r["layers"] for r in rows if r["op"] == "conv_forward") == 21 and
             all(r["chosen"] for r in rows)' conv --model resnet20 --batch 1
    measure 'len(rows) == 3 and rows[0]["k"] == 3 and rows[0]["oc"] == 6 and rows[0]["shape"] == "2,9,8,5,6,3,2,1,1" and
             rows[0]["groups"] == 1 and
             all(abs(r["gflops"] * r["ms"] * 1e6 / (2 * 2 * 5 * 4 * 5 * 6 * 9) - 1) < 1e-6 for r in rows)' \
        conv --shape 2,9,8,5,6,3,2,1
    measure '[r["variant"] for r in rows] == ["conv_forward_plain"]' \
        conv --shape 1,8,8,4,4,3,1,1 --variant conv_forward_plain
    measure '{r["op"] for r in rows} == {"pool_forward", "pool_backward"}' pool --model resnet20 --batch 1
    measure 'rows[0]["kind"] == 0' pool --shape 1,8,8,4,2,2,0
    measure '{r["op"] for r in rows} >= {"bn_finalize", "bn_apply", "bn_backward_sums", "bn_backward_finalize"}' \
        norm --model resnet20 --batch 1
    measure 'all(r["relu"] == 0 for r in rows)' norm --shape 2,4,4,8,0
    measure 'len(rows) > 1 and sum(r["chosen"] for r in rows) == 1' gemm --size 16,24,32,0,1 --all
    measure 'rows[0]["n"] == 64 and [r["op"] for r in rows] == ["fwht", "walsh_fwht", "walsh_fwht_host"]' \
        fwht --size 3,64
    measure '[r["variant"] for r in rows] == ["learned", "orthonormal", "hadamard"] and
             [r["parameters"] for r in rows] == [330, 11, 11]' head --size 32,10 --batch 4
    measure '[r["variant"] for r in rows] == ["hadamard"]' head --size 32,10 --head hadamard --batch 4
    heads
    measure '[r["op"] for r in rows] == ["step_train", "step_evaluate"] and rows[0]["images_per_second"] > 0 and
             rows[0]["first_step_ms"] > 0 and rows[0]["peak_rss_bytes"] > 1e6' step --model resnet20 --batch 2
    measure '[r["op"] for r in rows] == ["step_evaluate"]' step --model resnet20 --batch 2 --mode evaluate --steps 2
    measure 'rows[0]["arena_bytes"] > 0 and rows[0]["image_size"] == 48 and rows[0]["classes"] == 7' \
        step --model resnet20 --batch 2 --mode evaluate --math exact --image-size 48 --classes 7
    measure 'not any("winograd" in r["variant"] for r in rows)' conv --shape 2,32,32,16,16,3,1,1 --all --math exact
    measure 'rows[0]["store"] == "f16"' step --model resnet20 --batch 2 --mode train --store f16
    layers
    measure '[r["op"] for r in rows] == ["data_train", "data_test"] and rows[0]["images_per_second"] > 0' \
        data --data sample --batch 16
    mkdir -p photos/train/ant photos/val/ant
    cp "$images"/*.jpg photos/train/ant
    cp "$images"/*.png photos/val/ant
    measure 'rows[0]["variant"] == "imagenet" and rows[0]["height"] == 48 and rows[0]["images_per_core_second"] > 0' \
        data --data imagenet:photos --batch 4 --loaders 2 --image-size 48
    measure 'True' gemm --size 16,16,16 --threads 1
}

# The usual sizes: ten of them, learned by either matrix product beside hadamard; one that is too large says so.
heads() {
    what="the usual heads"
    "$walsh" bench head --repeats 1 --batch 4 --json >out 2>err || problem "failed: $(cat err)"
    python3 - out >err 2>&1 <<'END' || problem "$(tail -n 1 err)"
import json, sys
rows = [row for row in json.load(open(sys.argv[1])) if row["op"] == "head"]
sizes = dict.fromkeys((row["features"], row["classes"]) for row in rows)
assert len(sizes) == 10 and (64, 10) in sizes and (512, 1000000) in sizes, sizes
for size in sizes:
    its = {row["variant"]: row for row in rows if (row["features"], row["classes"]) == size}
    fixed, learned = its["hadamard"], its["learned"]
    assert fixed["parameters"] == size[1] + 1 and learned["parameters"] == size[1] * (size[0] + 1), its
    assert fixed["optimizer_bytes"] == 4 * fixed["parameters"] and fixed["memory_bytes"] < 64 << 20, its
    assert fixed["moved_bytes"] > 0 and fixed["ms"] > 0, its
    if "note" in learned:
        assert learned["ms"] is None and learned["memory_bytes"] > 1 << 30, its
    else:
        assert "learned gemm_clblast" in its and learned["ms"] > 0 and learned["memory_bytes"] > 0, its
assert sum("note" in row for row in rows) == 1, rows
END
}

# Every layer and direction: the parts of a step add up to it, in time and in what is computed.
layers() {
    passes='{"forward": 21, "backward data": 20, "backward filter": 21, "pooling": 2, "update": 1}'
    measure 'rows[0]["op"] == "step_train" and all(sum(r.get("pass") == p for r in rows) == n
                                                   for p, n in '"$passes"'.items()) and
             {r["pass"] for r in rows[1:]} == {*'"$passes"', "batch norm", "head and loss", "other"} and
             0 < sum(r["ms"] for r in rows[1:]) <= rows[0]["ms"] and
             abs(sum(r["share"] for r in rows[1:]) - 1) < 1e-6 and
             all(abs(r["share"] * sum(q["ms"] for q in rows[1:]) - r["ms"]) < 1e-9 for r in rows[1:]) and
             len({(r["layer"], r["op"]) for r in rows[1:]}) == len(rows) - 1 and
             abs(sum(r["ms"] * r["gflops"] for r in rows if r["op"][:4] in ("conv", "gemm")) /
                 (rows[0]["ms"] * rows[0]["gflops"]) - 1) < 1e-6 and
             abs(sum(r["ms"] * r["gbs"] for r in rows[1:]) / (rows[0]["ms"] * rows[0]["gbs"]) - 1) < 1e-6' \
        layers --model resnet20 --batch 3
    measure 'rows[0]["op"] == "step_evaluate" and not any("backward" in r["pass"] for r in rows[1:]) and
             sum(r["op"] == "conv_forward" for r in rows) == 21 and rows[0]["image_size"] == 40 and
             any("head" in r["op"] for r in rows) and not any("winograd" in r["variant"] for r in rows)' \
        layers --model resnet20 --batch 2 --mode evaluate --math exact --head hadamard --classes 100 --image-size 40
    chart train 8
    chart evaluate 1
    what="charts that cannot be written"
    mkdir folder.svg
    for path in folder.svg nowhere/x.svg; do
        "$walsh" bench layers --model resnet20 --batch 1 --svg $path >out 2>err
        status=$?
        ended 1 "cannot write $path"
        [ "$(wc -l <err)" = 1 ] && [ ! -s out ] || problem "not one line on stderr: $(cat err out)"
    done
    what="a chart that cannot be put in place" # a folder comes in between: the end of the work is too late to refuse
    "$walsh" bench layers --model resnet20 --batch 1 --repeats 40 --svg late.svg >out 2>err &
    until [ -e late.svg.tmp ] || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
    mkdir late.svg
    wait $!
    status=$?
    ended 1 "cannot write late.svg"
    [ "$(wc -l <err)" = 1 ] || problem "not one line on stderr: $(cat err)"
    absent ./*.tmp nowhere
}

# chart MODE BATCH: draws a chart, which is held against the figures.
chart() {
    what="a chart, $1"
    "$walsh" bench layers --model resnet20 --mode $1 --batch $2 --repeats 2 --json --svg a.svg >out 2>err ||
        problem "failed: $(cat err)"
    python3 - out a.svg >err 2>&1 <<'END' || problem "$(tail -n 1 err)"
import json, re, sys
import xml.etree.ElementTree as tree
rows = json.load(open(sys.argv[1]))
svg = tree.parse(sys.argv[2]).getroot()
name = lambda e: e.tag.rpartition("}")[2]
width, height = float(svg.get("width")), float(svg.get("height"))
texts = [e for e in svg.iter() if name(e) == "text"]
words = [e.text for e in texts]
layers = [r for r in rows if "layer" in r]
shown = [r for r in layers if r["bound"] and r["share"] >= 2e-4]
bars = [e for e in svg.iter() if name(e) == "path" and re.fullmatch("s[0-7]", e.get("class"))]
assert len(bars) == len(shown) > 20, (len(bars), len(shown))
peaks = {key: max(r["gflops" if key == "fma" else "gbs"] * r["ms"] / r["ms_min"] for r in rows
                  if r["op"] == {"fma": "peak_fma", "memory": "peak_stream"}[key]) for key in ("fma", "memory")}
number = "([0-9.]+)"
found = {}
for e in bars:
    note = next(iter(e)).text
    place = re.match(f"M{number} {number}v-{number}", e.get("d"))
    x, base, tall = map(float, place.groups())
    assert 0 < x < width and 0 < base - tall < base < height, e.get("d")
    found[note.partition(":")[0]] = tall, "l" in e.get("d"), note
for r in shown:
    tall, beyond, note = found[f"{r['layer']} {r['op']}"]
    assert f"{r['ms']:.3f} ms" in note, (r, note)
    assert beyond == (r["peak_share"] > 1) or abs(r["peak_share"] - 1) < 1e-6, r
    assert abs(tall - max(0.5, 240 * min(1, r["peak_share"]))) < 0.1, (r, tall)
    value = r["gflops" if r["bound"] == "fma" else "gbs"]
    assert r["layer"] in words and (not beyond or f"{value:.3g}" in words), r
for key, unit in ("fma", "effective GFLOP/s"), ("memory", "GB/s"):
    assert unit in words and f"{peaks[key]:.3g}" in words, (unit, peaks, words)
assert {"100 %", "0 %", "layer, in the order of execution"} <= set(words), words
assert any(w.startswith("forward: ") for w in words) and any("resnet20" in w for w in words), words
END
}

table() {
    what="a table"
    "$walsh" bench conv --model resnet20 --batch 1 --repeats 1 >out 2>err || problem "failed: $(cat err)"
    for word in "of bound" "N,H,W,IC,OC,K,STRIDE,PAD" conv_filter layers layer2.0.downsample.0 \
        "conv_data, 20 layers: "; do
        grep -qF -- "$word" out || problem "no '$word' in: $(cat out)"
    done
    what="a table of layers"
    "$walsh" bench layers --model resnet20 --batch 1 --repeats 1 >out 2>err || problem "failed: $(cat err)"
    for word in "of bound" share "backward filter" step_train layer2.0.downsample.0 "sgd, 1 layer: "; do
        grep -qF -- "$word" out || problem "no '$word' in: $(cat out)"
    done
    for member in conv pool norm gemm fwht head step layers data; do
        what="help of $member"
        "$walsh" bench $member --help >out 2>err && grep -q "Examples:" out && [ ! -s err ] || problem "$(cat out err)"
        "$walsh" bench --help | grep -q "^  $member " || problem "not listed"
    done
}

wrong() {
    refuse "expected a command"
    refuse "did you mean conv?" cony
    refuse "'walsh bench --help' lists them" something
    refuse "expected either --model NAME or --shape" conv
    refuse "expected either --model NAME or --shape" conv --model resnet20 --shape 1,8,8,4,4,3,1,1
    refuse "--batch goes with --model" conv --shape 1,8,8,4,4,3,1,1 --batch 3
    refuse "no model" conv --model resnet21
    refuse "--shape 1,8,8: expected N,H,W,IC,OC,K,STRIDE,PAD,GROUPS" conv --shape 1,8,8
    refuse "expected N,H,W,IC" conv --shape 1,8,8,4,4,3,1,1,1,1
    refuse "expected N,H,W,IC" conv --shape 1,8,8,4,4,3,1
    refuse "expected N,H,W,IC" conv --shape 1,8,8,4,4,3,1,
    refuse "expected N,H,W,IC" conv --shape 1,8,8,4,4,3,1,x
    refuse "expected N,H,W,IC" conv --shape 1,8,8,4,4,3,1,-1
    refuse "expected N,H,W,IC" conv --shape 99999999999,8,8,4,4,3,1,1
    refuse "does not fit" conv --shape 1,2,2,4,4,5,1,1
    refuse "at least 1" conv --shape 0,8,8,4,4,3,1,1
    refuse "no kind 3" pool --shape 1,8,8,4,2,2,0,3
    refuse "expected one of" conv --shape 1,8,8,4,4,3,1,1 --variant nothing
    refuse "exclude each other" conv --shape 1,8,8,4,4,3,1,1 --variant conv_forward_plain --all
    refuse "expected --size" gemm
    refuse "expected M,N,K" gemm --size 3,4
    refuse "unknown option --model" gemm --model resnet20
    refuse "3" fwht --size 3,3
    refuse "expected N,C" head --size 3
    refuse "goes with --size" head --head learned
    refuse "at most 2^2" head --size 2,5 --head hadamard
    refuse "expected --model" step
    refuse "train or evaluate" step --model resnet20 --mode learn
    refuse "fast or exact" step --model resnet20 --math approximate
    refuse "f32 or f16" step --model resnet20 --store f64
    refuse "--store f16 rounds what --math exact" step --model resnet20 --store f16 --math exact
    refuse "expected --model" layers
    refuse "no model" layers --model resnet21
    refuse "train or evaluate" layers --model resnet20 --mode both
    refuse "fast or exact" layers --model resnet20 --math ''
    refuse "--svg" layers --model resnet20 --svg
    refuse "unknown option --svg" step --model resnet20 --svg x
    refuse "--repeats x" layers --model resnet20 --repeats x
    refuse "--batch 0" layers --model resnet20 --batch 0
    refuse "expected --data" data
    refuse "unknown option --device" data --data sample --device cpu
    refuse "--repeats 0" gemm --size 8,8,8 --repeats 0
    refuse "unexpected argument" conv --model resnet20 more
}

runs
table
wrong
exit $((failures > 0))
