#!/bin/sh
# tools/prepare-imagenet.sh, given as $1, on archives as small as they can be.
set -u
command=$(realpath "$1") || exit 1
tar --version 2>/dev/null | grep -q GNU || exit 77 # skipped
. "$(dirname "$0")/shell.sh"

mkdir from
for class in n02119789 n02100735 n02110185; do
    mkdir $class
    for i in 1 2; do echo "$class $i" >$class/${class}_$i.JPEG; done
    tar cf $class.tar -C $class ${class}_1.JPEG ${class}_2.JPEG
done
tar cf from/ILSVRC2012_img_train.tar n02100735.tar n02110185.tar n02119789.tar
for i in 1 2 3 4; do echo "validation $i" >ILSVRC2012_val_0000000$i.JPEG; done
tar cf from/ILSVRC2012_img_val.tar ILSVRC2012_val_*.JPEG
# The classes' numbers, and names in UTF-16 in a compressed element of a MATLAB file.
mkdir -p kit/data
printf '3\n1\n1\n2\n' >kit/data/ILSVRC2012_validation_ground_truth.txt
python3 - <<'END'
import struct, zlib
names = "".join(f"{name} words of {name[1:4]} " for name in ("n02119789", "n02100735", "n02110185", "n99999999"))
element = zlib.compress(b"\1\2" + names.encode("utf-16-le"))
open("kit/data/meta.mat", "wb").write(b"MATLAB 5.0".ljust(128) + struct.pack("<II", 15, len(element)) + element)
END

check "no archive of classes" 1 "ILSVRC2012_devkit_t12.tar.gz: expected" from to
tar czf from/ILSVRC2012_devkit_t12.tar.gz kit
check "all" 0 "3 classes, 6 training and 4 validation images" from to
expect cmp -s to/train/n02100735/n02100735_2.JPEG n02100735/n02100735_2.JPEG
expect cmp -s to/val/n02110185/ILSVRC2012_val_00000001.JPEG ILSVRC2012_val_00000001.JPEG
expect cmp -s to/val/n02119789/ILSVRC2012_val_00000002.JPEG ILSVRC2012_val_00000002.JPEG
expect cmp -s to/val/n02119789/ILSVRC2012_val_00000003.JPEG ILSVRC2012_val_00000003.JPEG
expect cmp -s to/val/n02100735/ILSVRC2012_val_00000004.JPEG ILSVRC2012_val_00000004.JPEG
expect test "$(ls to)" = "train
val"
mkdir nothing
check "again" 0 "to/train is already there" nothing to

rm -r to/val
printf 'n02110185\nn02119789\nn02119789\n' >names
check "too few classes" 1 "expected a class for each of 4 images, found 3" --truth names from to
expect test ! -e to/val
printf 'n0000000x\n' >>names
check "an unknown class" 1 "no class n0000000x" --truth names from to
sed -i 's/n0000000x/n02100735/' names
check "names" 0 "4 validation images" --truth=names from to
expect cmp -s to/val/n02100735/ILSVRC2012_val_00000004.JPEG ILSVRC2012_val_00000004.JPEG

rm -r to
head -c 15000 from/ILSVRC2012_img_train.tar >cut
mv cut from/ILSVRC2012_img_train.tar
check "a truncated archive" 1 "to/train: not complete" from to
expect test ! -e to/train
check "nothing" 1 "expected the archive of the training images" nothing to
check "no folder" 2 "expected the folder of the archives" from
check "an unknown option" 2 "unknown option --fast" --fast from to
exit $((failures > 0))
