#!/bin/sh
# tools/fetch-data.sh, given as $1, against file:// URLs.
set -u
command=$1
command -v curl >/dev/null || exit 77 # skipped
. "$(dirname "$0")/shell.sh"

head -c 300000 /dev/urandom >source
url=file://$folder/source
md5=$(md5sum <source) sha256=$(sha256sum <source)
md5=${md5%% *} sha256=${sha256%% *}
file=to/cifar-10-binary.tar.gz

check "md5" 0 "expected md5" --from "$url" --checksum "$md5" cifar10 to
expect cmp -s source $file
expect test "$(cat out)" = $file
absent $file.part
check "already there" 0 "already there" --from file:///nowhere --checksum "$md5" cifar10 to
check "another file of that name" 1 "expected md5 c32a1d4ab5d03f1284b67883e8d87530, found $md5" cifar10 to
expect cmp -s source $file

check "sha256, other data set" 0 "expected sha256" "--from=$url" cifar100 to "--checksum=$sha256"
expect cmp -s source to/cifar-100-binary.tar.gz

rm -rf to
check "published checksum" 1 "expected md5 c32a1d4ab5d03f1284b67883e8d87530, found $md5" --from "$url" cifar10 to
absent $file $file.part
check "published checksum" 1 "expected md5 03b5dce01913d631647c71ecec9e9cb8, found $md5" --from "$url" cifar100 to

# Bytes that the source does not have show that it was resumed.
head -c 1000 /dev/zero >$file.part
check "resume" 0 "not verified" --from "$url" --checksum none cifar10 to
head -c 1000 /dev/zero >resumed
tail -c +1001 source >>resumed
expect cmp -s resumed $file
absent $file.part

rm $file
head -c 123456 source >$file.part
check "resume, verified" 0 "expected md5" --from "$url" --checksum "$md5" cifar10 to
expect cmp -s source $file

for length in 1000 300000 400000; do
    rm -f $file
    head -c $length /dev/zero >$file.part
    check "a partial file of $length bytes of something else" 0 "starting anew" \
        --from "$url" --checksum "$md5" cifar10 to
    expect cmp -s source $file
done

mv $file $file.part
check "complete but for the name" 0 "is complete" --from file:///nowhere --checksum "$md5" cifar10 to
expect cmp -s source $file

rm $file
check "no source" 1 "file:///nowhere: the download failed" --from file:///nowhere --checksum "$md5" cifar10 to
absent $file $file.part
head -c 1000 source >$file.part
check "no source, partial file" 1 "run this again to resume" --from file:///nowhere --checksum "$md5" cifar10 to
expect test -s $file.part
check "a file where the folder should be" 1 "source: expected a folder" --from "$url" cifar10 source

what=help
expect "$command" --help >out
expect grep -q "usage:" out
check "no arguments" 2 "expected a data set"
check "no folder" 2 "expected a folder" cifar10
check "unknown data set" 2 "unknown data set mnist" mnist to
check "too many" 2 "unexpected argument more" cifar10 to more
check "unknown option" 2 "unknown option --no" --no cifar10 to
check "no value" 2 "expected a URL" cifar10 to --from
check "odd checksum" 2 "found 5" --checksum abcde cifar10 to
check "no checksum" 2 "expected hexadecimal digits or none, found wxyz" --checksum wxyz cifar10 to

[ $failures = 0 ] || exit 1
echo "all as expected"
