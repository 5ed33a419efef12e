#!/bin/sh
# Arranges the official ImageNet archives as walsh wants them; see usage() below.
set -u

usage() {
    cat <<'END'
usage: tools/prepare-imagenet.sh [OPTION...] ARCHIVES DIR

Arranges the ImageNet of the Large Scale Visual Recognition Challenge 2012 into DIR/train and DIR/val, each with a folder
of images for each class, from the official archives in the folder ARCHIVES:

  ILSVRC2012_img_train.tar        training images (138 GB)
  ILSVRC2012_img_val.tar          validation images (6 GB)
  ILSVRC2012_devkit_t12.tar.gz    the validation images' classes (2.5 MB)

Each archive is read once. What is complete already is left as it is, so that an interrupted run can be repeated. Needs
GNU tar and Python 3.

  --truth FILE      the validation images' classes, instead of the third archive: a WordNet number (n01440764) a line
  --help            this text

example: tools/prepare-imagenet.sh ~/Downloads imagenet && walsh bench data --data imagenet:imagenet
END
}

script=prepare-imagenet.sh
. "$(dirname "$0")/messages.sh"

archives='' folder='' truth=''
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --truth) [ $# -ge 2 ] || misuse "--truth: expected a file"; truth=$2; shift ;;
    --truth=*) truth=${1#*=} ;;
    -*) misuse "unknown option $1" ;;
    *)
        if [ -z "$archives" ]; then archives=$1
        elif [ -z "$folder" ]; then folder=$1
        else misuse "unexpected argument $1"; fi ;;
    esac
    shift
done
[ -n "$folder" ] || misuse "expected the folder of the archives and one to arrange them in"
tar --version 2>/dev/null | grep -q GNU || fail "expected GNU tar, found another one or none"
command -v python3 >/dev/null || fail "expected the program python3, found none"

train=$archives/ILSVRC2012_img_train.tar val=$archives/ILSVRC2012_img_val.tar
truth=${truth:-$archives/ILSVRC2012_devkit_t12.tar.gz}
[ -d "$folder/train" ] || [ -r "$train" ] || fail "$train: expected the archive of the training images, found none"
if [ ! -d "$folder/val" ]; then
    [ -r "$val" ] || fail "$val: expected the archive of the validation images, found none"
    [ -r "$truth" ] || fail "$truth: expected the classes of the validation images, found none"
fi
mkdir -p "$folder" || fail "$folder: expected a folder that can be made and written to"

# A tar of a tar for each class, which is unpacked as it passes by.
arrange_train() {
    rm -rf "$folder/train.part"
    mkdir "$folder/train.part" || return 1
    part=$(CDPATH='' cd "$folder/train.part" && pwd) || return 1
    # shellcheck disable=SC2016 # tar's shell is to expand it
    PART=$part tar -xf "$train" --to-command='
        class=${TAR_FILENAME##*/}
        mkdir "$PART/${class%.tar}" && tar -xf - -C "$PART/${class%.tar}"'
}

# One flat tar. Image i's class is line i of the truth: a name, or, in the official archive, a number from 1 on whose
# name is in meta.mat.
arrange_val() {
    rm -rf "$folder/val.part" "$folder/val.flat"
    mkdir "$folder/val.part" "$folder/val.flat" && tar -xf "$val" -C "$folder/val.flat" || return 1
    python3 - "$truth" "$folder" <<'END' && rmdir "$folder/val.flat"
import os, re, struct, sys, tarfile, zlib

truth, folder = sys.argv[1:]


def class_names(mat):
    """The synsets' names in the order of their numbers, from a MATLAB 5 file: no other text in it looks like one."""
    at, text = 128, b""
    while at + 8 <= len(mat):
        kind, size = struct.unpack_from("<II", mat, at)
        part = mat[at + 8:at + 8 + size]
        text += zlib.decompress(part) if kind == 15 else part
        at += 8 + size
    return list(dict.fromkeys(name.decode() for name in re.findall(rb"n[0-9]{8}", text.replace(b"\0", b""))))


def official(archive):
    files = {os.path.basename(member.name): archive.extractfile(member).read() for member in archive
             if os.path.basename(member.name) in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")}
    names = class_names(files["meta.mat"])
    return [names[int(line) - 1] for line in files["ILSVRC2012_validation_ground_truth.txt"].split()]


def fail(what):
    sys.exit(f"prepare-imagenet.sh: {truth}: {what}")


try:
    classes = official(tarfile.open(truth)) if tarfile.is_tarfile(truth) else open(truth).read().split()
except (KeyError, IndexError, ValueError, zlib.error) as problem:
    fail(f"expected the classes of the validation images: {problem!r}")
images, known = sorted(os.listdir(f"{folder}/val.flat")), set(os.listdir(f"{folder}/train"))
if len(images) != len(classes):
    fail(f"expected a class for each of {len(images)} images, found {len(classes)}")
if not set(classes) <= known:
    fail(f"the training images have no class {sorted(set(classes) - known)[0]}")
for name in set(classes):
    os.mkdir(f"{folder}/val.part/{name}")
for image, name in zip(images, classes):
    os.rename(f"{folder}/val.flat/{image}", f"{folder}/val.part/{name}/{image}")
END
}

for split in train val; do
    if [ -d "$folder/$split" ]; then
        say "$folder/$split is already there"
        continue
    fi
    say "arranging $split"
    "arrange_$split" && mv "$folder/$split.part" "$folder/$split" || fail "$folder/$split: not complete, see above"
done
count() { find "$folder/$1" -type f | wc -l; }
say "$(find "$folder/train" -mindepth 1 -maxdepth 1 | wc -l) classes, $(count train) training and $(count val) validation" \
    "images"
