#!/bin/sh
# The command `walsh`, given as $1: what it refuses and how, what it writes, and that it stops and continues. $2 is the
# sample of CIFAR-10 as files, $3 the folder tests/images.
set -u
walsh=$(realpath "$1") sample=$(realpath "$2") images=$(realpath "$3") || exit 1
. "$(dirname "$0")/shell.sh"
unset WALSH_DEVICE WALSH_LOG WALSH_DISABLE
WALSH_CACHE=$folder/cache # no wisdom of the user's
export WALSH_CACHE

# small FOLDER: data of 256 and 100 images, for what need not be long.
small() {
    mkdir -p "$1"
    cp "$sample/batches.meta.txt" "$1"
    head -c $((3073 * 256)) "$sample/data_batch_1.bin" >"$1/data_batch_1.bin"
    head -c $((3073 * 100)) "$sample/test_batch.bin" >"$1/test_batch.bin"
}
# hundred FOLDER: 64 black images that CIFAR-100 could hold.
hundred() {
    mkdir -p "$1"
    head -c $((3074 * 64)) /dev/zero | tee "$1/train.bin" >"$1/test.bin"
}
# pictures FOLDER: three classes with four training images each, of several formats, and two for validation.
pictures() {
    for class in ant bee cat; do
        mkdir -p "$1/train/$class" "$1/val/$class"
        for name in rgb420.jpg grey.jpg cmyk.jpg png-inside.JPEG; do cp "$images/$name" "$1/train/$class"; done
        for name in rgb444.jpg palette.png; do cp "$images/$name" "$1/val/$class"; done
    done
}
small few
hundred black
pictures photos
new="train --model resnet20 --data cifar10:few"
weights="--weights run/last.safetensors --data cifar10:few"

sums() { (cd "$1" && md5sum -- *); }

# refuse WHAT STATUS WORD ARGUMENT...: one line on stderr that mentions WORD, nothing on stdout, that exit status.
refuse() {
    command=$walsh check "$@"
    [ "$(wc -l <err)" = 1 ] && grep -q '^walsh' err && [ ! -s out ] || problem "not one line on stderr: $(cat err out)"
}

# succeed WHAT WORD ARGUMENT...: exit 0, and stdout mentions WORD.
succeed() {
    what=$1 word=$2
    shift 2
    "$walsh" "$@" >out 2>err
    status=$?
    if [ $status != 0 ]; then problem "exit $status: $(cat err)"
    elif [ -n "$word" ] && ! grep -qF -- "$word" out; then problem "no '$word' in: $(cat out)"; fi
}

usage() {
    refuse "no command" 2 "expected a command"
    refuse "unknown command" 2 "did you mean train?" trian
    refuse "unknown option" 2 "unknown option --frob" train --frob
    refuse "mistyped option" 2 "did you mean --epochs?" train --epocs 3
    refuse "ambiguous option" 2 "--lo" train --lo 3
    refuse "no value" 2 "--lr: expected a value" train --lr
    refuse "a value too many" 2 "--resume: expected no value" train --resume=yes
    refuse "one-letter option" 2 "unknown option -x" train -x
    refuse "an argument" 2 "unexpected argument here" train here
    refuse "no model" 2 "expected --model" train --data sample
    refuse "no data" 2 "expected --data" train --model resnet20
    for value in 0 -1 1.5 '' 4294967297 nan; do
        refuse "batch" 2 "--batch" $new --batch "$value"
    done
    for value in nan inf -inf 0 -0.1 1e999 0x1 '' 1e 1,5; do
        refuse "lr" 2 "--lr" $new --lr "$value"
    done
    refuse "lr nan" 2 "--lr nan: expected a positive number" $new --lr nan
    refuse "parts" 2 "--accumulate 0" $new --accumulate 0
    refuse "unequal parts" 2 "--accumulate 3: expected a number of equal parts of the batch of 128" $new --accumulate 3
    refuse "momentum" 2 "--momentum 1" $new --momentum 1
    refuse "weight decay" 2 "--weight-decay -1" $new --weight-decay -1
    refuse "label smoothing" 2 "--label-smoothing 1" $new --label-smoothing 1
    refuse "epochs" 2 "--epochs 0" $new --epochs 0
    refuse "steps" 2 "--steps 0" $new --steps 0
    refuse "seed" 2 "--seed 18446744073709551616" $new --seed 18446744073709551616
    refuse "loaders" 2 "--loaders 0" $new --loaders 0
    for value in 0 0GiB 4 -1GiB 1e3M 1..5G 4XiB 4GiBs G '' nan 99999999999TiB; do
        refuse "memory" 2 "--memory $value" $new --memory "$value"
    done
    refuse "schedule" 2 "zigzag" $new --schedule zigzag
    refuse "milestones" 2 "step:5,3" $new --schedule step:5,3
    refuse "progress" 2 "--progress x: expected auto, always or never" $new --progress x
    refuse "unknown head" 2 "round" $new --head round
    refuse "alpha of a learned head" 2 "--alpha" $new --alpha 1
    for value in 0 -1 nan inf 1e39 ''; do
        refuse "alpha" 2 "a positive number" $new --head hadamard --alpha "$value"
    done
    refuse "cosine with a learned head" 2 "cosine" $new --loss cosine
    refuse "unknown model" 2 "resnet21" train --model resnet21 --data sample
    refuse "unknown data" 2 "mnist" train --model resnet20 --data mnist
    refuse "resume without out" 2 "--resume" train --resume
    refuse "no weights" 2 "expected --weights" eval --data sample
    refuse "split" 2 "--split all: expected train or test" eval --weights x --data sample --split all
    refuse "math" 2 "--math approximate: expected fast or exact" eval --weights x --data sample --math approximate
    refuse "math" 2 "--math approximate: expected fast or exact" $new --math approximate
    refuse "store" 2 "--store f64: expected f32 or f16" $new --store f64
    refuse "exact halves" 2 "--store f16 rounds what --math exact" $new --store f16 --math exact
    refuse "head without features" 2 "expected --features" head --head hadamard --classes 10
    for value in 0 -1 1.5 4294967360 x; do
        refuse "head of no size" 2 "--features $value: expected" head --head hadamard --features "$value" --classes 10
        refuse "head of no size" 2 "--classes $value: expected" head --head hadamard --features 64 --classes "$value"
    done
    refuse "no head" 2 "expected --head" head --features 64 --classes 10
    refuse "unknown head" 2 "'round'" head --head round --features 64 --classes 10
    refuse "seed of a head" 2 "--head-seed -1" head --head orthonormal --features 64 --classes 10 --head-seed -1
    refuse "one feature" 2 "at least 2 features" head --head hadamard-plain --features 1 --classes 10
    refuse "too large a matrix" 2 "268435456" head --head orthonormal --features 100000 --classes 100000
    refuse "alpha of no training" 2 "unknown option --alpha" head --head hadamard --features 64 --classes 10 --alpha 1
    refuse "more classes than signs" 2 "4096" head --head hadamard --features 12 --classes 5000
    refuse "learned Q" 2 "--out" head --head learned --features 48 --classes 10 --out Q.npy
    absent Q.npy
    what="log level"
    WALSH_LOG=loud "$walsh" devices >out 2>err
    status=$?
    ended 2 "WALSH_LOG=loud"
}

devices() {
    succeed "devices" "used by default" devices
    succeed "devices as JSON" '"chosen":	true' devices --json
    refuse "no such device" 1 "99" eval --weights x --data sample --device 99
    mkdir none
    OCL_ICD_VENDORS=$folder/none
    export OCL_ICD_VENDORS
    refuse "no device" 1 "no OpenCL device" devices
    refuse "no device to check" 1 "no OpenCL device" devices --check
    refuse "no device" 1 "no OpenCL device" $new --out none/run
    unset OCL_ICD_VENDORS
    absent none/run
    POCL_MEMORY_LIMIT=1
    export POCL_MEMORY_LIMIT
    refuse "memory" 1 " has 1.0 GiB: --batch" train --model resnet110 --data sample --batch 2000 --out none/run
    unset POCL_MEMORY_LIMIT
    refuse "less memory" 1 "--memory allows 80 MiB: --batch" $new --memory 80MiB --out none/run
    absent none/run
}

head_files() {
    succeed "Q" "Welch bound" head --head hadamard --features 64 --classes 100 --out Q.npy
    expect grep -qaF "'shape': (100, 64)" Q.npy
    succeed "head as JSON" '"largest_cosine":	0,' head --head hadamard --features 64 --classes 100 --json
    succeed "savings" "98.45 %" head --head hadamard --features 64 --classes 100
    succeed "twins" "identical      36 pairs" head --head hadamard-plain --features 64 --classes 100
    succeed "head of another size" "overlapped" head --head hadamard --features 342 --classes 1000
    refuse "Q in no folder" 1 "nowhere/Q.npy" head --head hadamard --features 64 --classes 100 --out nowhere/Q.npy
    absent nowhere
    cp Q.npy before
    long="head --head hadamard --features 512 --classes 512"
    refuse "Q in a folder below a file" 1 "Q.npy/Q" $long --out Q.npy/Q
    refuse "Q in a folder's place" 1 "few: expected a file or a new name" $long --out few
    what="Q on a full disk" # for which a limit on the size of files stands in
    (ulimit -f 100 && exec "$walsh" $long --out Q.npy) >out 2>err
    status=$?
    ended 1 "Q.npy"
    expect cmp -s before Q.npy
    absent Q.npy.tmp few.tmp
    what="results that cannot be written"
    [ -c /dev/full ] || return
    "$walsh" devices >/dev/full 2>err
    status=$?
    ended 1 "standard output"
}

data() {
    mkdir empty
    small cut
    small label
    head -c 100000 "$sample/data_batch_1.bin" >cut/data_batch_1.bin
    printf '\012' | dd of=label/data_batch_1.bin bs=1 seek=$((3073 * 5)) conv=notrunc 2>/dev/null
    tar czf whole.tar.gz -C "$sample" .
    head -c 1000000 whole.tar.gz >cut.tar.gz
    cifar="train --model resnet20 --out none/run --data"
    refuse "empty folder" 1 "empty: expected data_batch_" $cifar cifar10:empty
    refuse "truncated file" 1 "truncated" $cifar cifar10:cut
    refuse "label out of range" 1 "expected a label in 0..9, found 10" $cifar cifar10:label
    refuse "truncated archive" 1 "cut.tar.gz" $cifar cifar10:cut.tar.gz
    refuse "no archive" 1 "err" $cifar cifar10:err
    refuse "nothing there" 1 "nowhere" $cifar cifar10:nowhere
    refuse "batch above the images" 2 "257" $new --batch 257
    absent none/run
}

# ImageNet's kind of data, with a network that is quick.
folders_of_images() {
    photo="train --model resnet20 --data imagenet:photos --image-size 32 --batch 4 --steps 3"
    refuse "no folder of that name" 1 "nowhere: expected the folder train in it" $cifar imagenet:nowhere
    mkdir -p half/train/ant half/val
    refuse "an empty class" 1 "half/train/ant: expected images of this class" $cifar imagenet:half
    cp "$images/grey.jpg" half/train/ant
    rmdir half/val
    refuse "no validation set" 1 "half: expected the folder val in it" $cifar imagenet:half
    absent none/run
    refuse "an image size" 2 "--image-size 0" $photo --image-size 0
    refuse "another size of CIFAR" 2 "are 32x32, expected 64x64" $new --image-size 64
    succeed "a run" "parameters" $photo --out photo
    photo_weights="--weights photo/last.safetensors --data imagenet:photos"
    succeed "eval" "images/s" eval $photo_weights
    expect grep -q "^memory: [0-9]* MiB of .* (weights [0-9]* MiB, activations .*), batch 6$" err
    cp err at32
    succeed "eval at another size" "images/s" eval $photo_weights --image-size 48
    expect test "$(grep -c . err)" = 1
    what="memory at another size"
    cmp -s err at32 && problem "as at the size of the training"
    refuse "an image size" 2 "--image-size 0" eval $photo_weights --image-size 0
    refuse "another size of CIFAR" 2 "are 32x32, expected 48x48" eval --weights photo/last.safetensors --data sample \
        --image-size 48
    refuse "less memory" 1 "--memory allows 16 MiB: --batch" eval $photo_weights --memory 16MiB --image-size 128
    refuse "too little memory" 1 "--memory allows 9 KiB: no batch would fit" predict --memory 9KiB \
        --weights photo/last.safetensors --images "$images/grey.jpg"
    succeed "the same by other loaders" "parameters" $photo --loaders 3 --out photo3
    expect cmp -s photo/last.safetensors photo3/last.safetensors
    succeed "images" "" predict --weights photo/last.safetensors --images "$images/grey.jpg" "$images/alpha.png"
    expect test "$(wc -l <out)" = 7
    expect test "$(cut -f 2 out | tail -n 3 | tr -d '\n')" = 123
    expect grep -q "alpha.png.*bee" out
    succeed "logits of images" "" predict --weights photo/last.safetensors --images "$images/grey.jpg" --out logits.npy
    expect grep -qaF "'shape': (1, 3)" logits.npy
    # A file that names neither model nor classes, as those from elsewhere.
    LC_ALL=C sed 's/"model":/"modex":/; s/"class_names":/"class_namex":/' photo/last.safetensors >bare
    refuse "weights of an unknown model" 2 "bare: the file does not say which model" predict --weights bare --images x
    succeed "classes by numbers" "" predict --weights bare --model resnet20 --images "$images/grey.jpg"
    expect test "$(cut -f 3 out | tail -n 3 | sort | tr -d '\n')" = 012
    echo text >photos/train/bee/text.jpg
    head -c 1500 "$images/rgb444.jpg" >photos/val/cat/cut.jpg
    refuse "an image that is none" 1 "text.jpg: expected a JPEG or PNG image" predict \
        --weights photo/last.safetensors --images photos/train/bee/text.jpg
    refuse "images and data" 2 "expected either --data or --images" predict --weights photo/last.safetensors \
        --images photos/val/cat/cut.jpg --data imagenet:photos
    command=$walsh check "a truncated image" 1 "cut.jpg: expected a whole JPEG" eval $photo_weights
    expect test "$(grep -c '^walsh' err)" = 1
    succeed "eval without it" "skipped      1 bad image" eval $photo_weights --skip-bad-images
    expect grep -q "skipped: photos/val/cat/cut.jpg" err
    expect grep -q "6 images" out
    succeed "predict without it" "image	class" predict $photo_weights --skip-bad-images
    expect test "$(wc -l <out)" = 7
    "$walsh" $photo --out photo4 >out 2>err
    status=$?
    what="training with a bad image"
    ended 1 "photos/"
    succeed "resumed without it" "parameters" train --resume --out photo4 --skip-bad-images
    expect grep -q "bad images skipped: 2" err
    rm photos/train/bee/text.jpg photos/val/cat/cut.jpg
}

# A run of two steps in `run`, for those that follow.
small_run() {
    two="--batch 16 --steps 2"
    succeed "train" "272474 parameters" $new $two --out run
    expect grep -q "memory: [0-9]* MiB of .*, batch 16$" err
    for file in log.csv state.safetensors last.safetensors best.safetensors; do expect test -s run/$file; done
    sums run >before
}

# Four tables: of training and evaluation by operation, and of both by layer. In each, the lines add up to the last one,
# and the two of a phase come to the same.
profile() {
    succeed "profile" "GFLOP/s of multiply-adds" $new $two --profile
    awk 'function differ(a, b, by) { return a - b > by || b - a > by }
        /^(training|evaluation), / { table++; phase = phase " " $1 " " $2 + 0; sum = share = once = 0; next }
        /^preparation, 1 times: / { once = ++preparations }
        once || !table || !NF || /^(operation|layer) / { next }
        { ms = $(NF - 7) }
        $1 == "total" { total[table] = ms; if (differ(ms, sum, 0.001 * lines[table])) bad = bad " sum" }
        $1 == "total" { if (differ(share, 100, 0.06 * lines[table])) bad = bad " share"; next }
        { sum += ms; share += $(NF - 6); lines[table]++ }
        $(NF - 2) != "fma" && $(NF - 2) != "memory" || $(NF - 1) < 0 { bad = bad " bound:" $0 }
        END {
            if (phase != " training, 2 evaluation, 7 training, 2 evaluation, 7") bad = bad " phases:" phase
            if (total[1] != total[3] || total[2] != total[4] || total[1] <= 0 || total[2] <= 0) bad = bad " totals"
            if (lines[3] <= lines[1] || lines[4] <= lines[2]) bad = bad " lines"
            if (preparations != 2) bad = bad " preparations:" preparations
            print bad
            exit bad != ""
        }' out >err || problem "the tables:$(cat err)"
}

# The memory map of --plan, with what waits for the backward pass as it is and as half.
plan() {
    succeed "plan" "launches" $new $two --plan --out none/run
    absent none/run
    memory_map
    full=$(awk '/^memory:/ { print $14 }' out)
    grep -q store_pack out && problem "nothing packed"
    succeed "plan of halves" "batch 16, --store f16" $new $two --plan --store f16
    memory_map
    expect awk -v full="$full" '/^memory:/ { exit !($14 < 0.7 * full) }' out
    expect test "$(grep -c store_unpack_plain out)" -ge 20
    expect test "$(grep -c store_unpack_plain out)" = "$(grep -c store_pack_plain out)"
}

# No two blocks that are in use at a time share memory, and the map ends where the arena does.
memory_map() {
    awk '/^memory: / { mib = $14 + 0 }
        /^[a-z]+: activations/ { maps++; n = 0; next }
        /^[a-z]+, .* launches$/ { n = -1; launches[$1] += $(NF - 1); next }
        !NF || n < 0 || !maps || /^buffer/ { next }
        {
            end = $2 + $3
            if (end > top) top = end
            for (i = 0; i < n; i++)
                if ($4 <= to[i] && from[i] <= $5 && $2 + 0.01 < high[i] && low[i] + 0.01 < end) bad = bad " shared:" $0
            low[n] = $2; high[n] = end; from[n] = $4; to[n++] = $5; blocks++
        }
        END {
            if (maps != 2 || blocks < 100) bad = bad " maps"
            if (top < 1024 * (mib - 1) || top > 1024 * (mib + 1)) bad = bad " end:" top
            if (launches["training,"] < 100 || launches["evaluation,"] != 68) bad = bad " launches"
            print bad
            exit bad != ""
        }' out >err || problem "the plan:$(cat err)"
}

weights() {
    succeed "eval" "top-5 error" eval $weights
    succeed "eval as JSON" '"images":	100,' eval $weights --json
    succeed "predict" "99	" predict $weights
    succeed "logits" "" predict $weights --out logits.npy
    expect grep -qaF "'shape': (100, 10)" logits.npy
    cp run/last.safetensors lying
    printf '\377\377\377\377\377\377\377\177' | dd of=lying bs=1 conv=notrunc 2>/dev/null
    head -c 100000 run/last.safetensors >short
    refuse "a header that lies" 1 "lying" eval --weights lying --data sample
    refuse "truncated weights" 1 "short" eval --weights short --data sample
    refuse "no weights" 1 "nowhere" eval --weights nowhere --data sample
    refuse "weights of another model" 1 "resnet20" train --model resnet32 --data cifar10:few \
        --init run/last.safetensors --out none/run
    header='{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    printf "\\$(printf %o ${#header})"'\0\0\0\0\0\0\0%s\0\0\0\0' "$header" >x.safetensors
    refuse "weights of no model" 1 "105 missing (conv1.weight, bn1.weight, bn1.bias, ...), 1 unexpected (x)" \
        $new --init x.safetensors --out none/run
    refuse "a frozen body of no weights" 2 "expected --init" $new --freeze-body --out none/run
    refuse "data of other classes" 2 "the model tells 10 classes apart" eval --weights run/last.safetensors \
        --data cifar100:black
    refuse "logits in no folder" 1 "nowhere/y.npy" predict $weights --out nowhere/y.npy
    absent none/run/state.safetensors
}

# Exact prediction is what it would be were there no approximate variants, to the bit.
exact() {
    succeed "exact logits" "" predict $weights --math exact --out exact.npy
    WALSH_DISABLE=conv_forward_winograd
    export WALSH_DISABLE
    succeed "logits without Winograd" "" predict $weights --out without.npy
    unset WALSH_DISABLE
    what="exact logits"
    expect cmp -s exact.npy without.npy
    succeed "exact errors" "top-1" eval $weights --math exact
}

# Another head on the body of a run, and that body frozen.
fine_tuning() {
    tune="$new $two --head hadamard --init run/last.safetensors"
    succeed "another head" "271835 parameters" $tune --out tuned
    expect grep -q "its body is kept; the hadamard head of 10 classes is new" err
    succeed "a frozen body" "11 parameters" $tune --freeze-body --out frozen
    refuse "freezing midway" 2 "which has no --freeze-body" train --resume --out tuned --freeze-body
    succeed "frozen, resumed" "11 parameters" train --resume --steps 3 --out frozen
    succeed "the same head" "650 parameters" $new $two --init run/last.safetensors --freeze-body
    expect test "$(grep -c "is new" err)" = 0
    rm -r tuned frozen
}

folders() {
    refuse "a folder below a file" 1 "folder err" $new $two --out err/run
    refuse "a folder with a run" 2 "already holds a run" $new $two --out run
    mkdir kept
    cp run/best.safetensors kept
    refuse "a folder with a run's weights" 2 "already holds a run (best.safetensors)" $new $two --out kept
    expect cmp -s run/best.safetensors kept/best.safetensors
    refuse "resume with another rate" 2 "--lr" train --resume --out run --lr 0.7
    refuse "resume with another model" 2 "--model resnet32" train --resume --out run --model resnet32
    refuse "resume with another batch" 2 "--batch" $new --resume --out run --batch 32
    refuse "resume with other arithmetic" 2 "--math exact contradicts" train --resume --out run --math exact
    refuse "resume with other storage" 2 "--store f16 contradicts" train --resume --out run --store f16
    refuse "resume from other weights" 2 "--init" train --resume --out run --init run/last.safetensors
    refuse "resume nothing" 1 "none" train --resume --out none
    what="refused runs"
    sums run >after
    expect cmp -s before after
}

# --epochs on resuming goes before the --steps that the run was begun with.
lengths() {
    succeed "resuming a run without a state yet" "" $new $two --out longer --resume
    expect grep -q "begins anew" err
    succeed "an epoch instead" "" train --resume --out longer --epochs 1
    expect grep -q '^1,16,' longer/log.csv
}

# A limit on the size of files stands in for a full disk: both make write() fail.
full_disk() {
    what="full disk"
    blocks=$((2000000 / 512)) # a state is larger, what the OpenCL driver writes is not
    (ulimit -f $blocks && exec "$walsh" $new $two --out full) >out 2>err
    status=$?
    ended 1 "state.safetensors"
    expect test "$(wc -l <err)" = 1
    expect test -z "$(ls full)"
    what="full disk, resumed"
    (ulimit -f $blocks && exec "$walsh" train --resume --out run --steps 3) >out 2>err
    status=$?
    ended 1 ".safetensors"
    sums run >after
    expect cmp -s before after
}

not_finite() {
    what="a loss that is not finite"
    "$walsh" $new --batch 16 --steps 8 --lr 1e30 --schedule constant --out wild >out 2>err
    status=$?
    ended 1 "the loss is"
    expect test "$(grep -c '^walsh' err)" = 1
    succeed "the last good state" "top-1" eval --weights wild/last.safetensors --data cifar10:few
}

# interrupt SIGNAL ARGUMENT...: sends the signal when the bar shows a step that is done.
interrupt() {
    signal=$1
    shift
    : >err
    "$walsh" "$@" --progress always >out 2>err &
    process=$!
    tries=0
    until grep -q "epoch" err || [ $tries = 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s "$signal" $process
    wait $process 2>/dev/null
    status=$?
}

signals() {
    long="--batch 16 --steps 60 --head hadamard"
    succeed "uninterrupted" "271835 parameters" $new $long --out straight
    what="Ctrl-C"
    interrupt INT $new $long --out stopped
    ended 130 "stopped and saved"
    what="SIGTERM"
    interrupt TERM train --resume --out stopped
    ended 143 "stopped and saved"
    what="kill -9"
    interrupt KILL train --resume --out stopped --save-every 5
    ended 137 "epoch"
    succeed "resumed" "271835 parameters" train --resume --out stopped
    for file in last best; do expect cmp -s straight/$file.safetensors stopped/$file.safetensors; done
    cut -d, -f1-8 straight/log.csv >before
    cut -d, -f1-8 stopped/log.csv >after
    expect cmp -s before after
}

# Few variants are measured here: which of them wins is no test.
tuning() {
    WALSH_DISABLE=conv_forward_direct,conv_data_direct,conv_filter_direct,gemm_clblast
    WALSH_DISABLE=$WALSH_DISABLE,conv_forward_clblast,conv_data_clblast,conv_filter_clblast
    export WALSH_DISABLE
    refuse "tune without a model" 2 "expected --model" tune
    refuse "tune for no time" 2 "--seconds 0: expected a positive number" tune --model resnet20 --seconds 0
    succeed "tune" "problems" tune --model resnet20 --batch 4 --seconds 0.1
    expect grep -q "rule/tuned" out
    expect grep -q "^gemm  *head " out
    expect test "$(ls "$WALSH_CACHE"/*.wisdom | wc -l)" = 1
    succeed "train --tune" "272474 parameters" $new $two --tune --out tuned
    what="the choices of a run"
    expect grep -qaF '"train.plan":"' tuned/state.safetensors
    rm "$WALSH_CACHE"/*.wisdom
    succeed "resume without the wisdom" "272474 parameters" train --resume --steps 3 --out tuned
    unset WALSH_DISABLE
}

# Every example of the help runs as it stands; training is cut short.
examples() {
    mkdir examples
    cd examples || exit 1
    small data/cifar-10-batches-bin
    hundred data/cifar-100-binary
    cp "$images/rgb420.jpg" cat.jpg
    cp "$images/alpha.png" dog.png
    for command in devices train eval predict head tune; do
        succeed "help" "Usage: walsh $command" $command --help
        sed -n '/^Examples:/,$s/^  walsh //p' out >lines
        expect test -s lines
        while read -r line; do
            case $line in
            *--resume*) line="$line --steps 2" ;;
            train*) line="$line --steps 1 --batch 16" ;;
            tune*) continue ;;
            esac
            # shellcheck disable=SC2086 # words
            succeed "example walsh $line" "" $line </dev/null
        done <lines
    done
    cd ..
    succeed "help" "walsh eval" --help
    succeed "version" "walsh " --version
}

usage
devices
head_files
data
folders_of_images
small_run
profile
plan
weights
exact
fine_tuning
folders
lengths
full_disk
not_finite
signals
tuning
examples
[ $failures = 0 ] || exit 1
echo "all as expected"
