#!/bin/sh
# Downloads an official data set; see usage() below.
set -u

usage() {
    cat <<'END'
usage: tools/fetch-data.sh [OPTION...] cifar10|cifar100 DIR

Downloads the official archive (binary version, about 170 MB) into DIR and verifies its checksum. A partial download is
kept beside it as *.part and resumed; nothing is done where the verified archive is already there. Prints its path.

  --from URL        another place to download the archive from: http(s)://, file://
  --checksum SUM    expected md5 or sha256, in hexadecimal, instead of the published md5; 'none' verifies nothing
  --help            this text

example: tools/fetch-data.sh cifar10 data && walsh train --data cifar10:data --model resnet20 --out run
END
}

script=fetch-data.sh
. "$(dirname "$0")/messages.sh"

from='' checksum='' name='' folder=''
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --from=* | --checksum=*)
        option=${1%%=*} value=${1#*=}
        shift
        set -- "$option" "$value" "$@"
        continue ;;
    --from) [ $# -ge 2 ] || misuse "--from: expected a URL"; from=$2; shift ;;
    --checksum) [ $# -ge 2 ] || misuse "--checksum: expected a sum or none"; checksum=$2; shift ;;
    -*) misuse "unknown option $1" ;;
    *)
        if [ -z "$name" ]; then name=$1
        elif [ -z "$folder" ]; then folder=$1
        else misuse "unexpected argument $1"; fi ;;
    esac
    shift
done

case $name in
cifar10) archive=cifar-10-binary.tar.gz published=c32a1d4ab5d03f1284b67883e8d87530 ;;
cifar100) archive=cifar-100-binary.tar.gz published=03b5dce01913d631647c71ecec9e9cb8 ;;
'') misuse "expected a data set, cifar10 or cifar100, and a folder" ;;
*) misuse "unknown data set $name: expected cifar10 or cifar100" ;;
esac
[ -n "$folder" ] || misuse "expected a folder to download to"
url=${from:-https://www.cs.toronto.edu/~kriz/$archive}
checksum=$(printf %s "${checksum:-$published}" | tr A-F a-f)
case $checksum in
none) kind=none ;;
*[!0-9a-f]*) misuse "--checksum: expected hexadecimal digits or none, found $checksum" ;;
*)
    case ${#checksum} in
    32) kind=md5 ;;
    64) kind=sha256 ;;
    *) misuse "--checksum: expected 32 digits (md5) or 64 (sha256), found ${#checksum}" ;;
    esac ;;
esac

# Sets `found`, the checksum of a file; succeeds where it is the expected one.
verify() {
    found=none
    if [ $kind != none ]; then
        found=$("${kind}sum" <"$1") || fail "$1: cannot be read"
        found=${found%% *}
    fi
    [ "$found" = "$checksum" ]
}

done_with() {
    say "$2"
    printf '%s\n' "$1"
    exit 0
}

mkdir -p "$folder" || fail "$folder: expected a folder that can be made and written to"
file=$folder/$archive part=$folder/$archive.part
if [ -e "$file" ]; then
    verify "$file" && done_with "$file" "$file is already there"
    fail "$file: expected $kind $checksum, found $found; move it away to download it again"
fi
# A download that was stopped between its last byte and its new name.
if [ -e "$part" ] && [ $kind != none ] && verify "$part"; then
    mv "$part" "$file" || exit 1
    done_with "$file" "$file is complete"
fi
command -v curl >/dev/null || fail "expected the program curl, found none: install it"

# Appends what is missing to the partial file. A connection that breaks or stalls is taken up again; what the server
# refuses is not.
download() {
    for try in 1 2 3; do
        if [ -t 2 ]; then progress=--progress-bar; else progress=--silent; fi
        curl "$progress" --show-error --fail --location --connect-timeout 30 --speed-limit 1 --speed-time 60 \
            --continue-at - --output "$part" --write-out '%{http_code}' "$url" >"$part.code"
        status=$? code=$(cat "$part.code")
        rm -f "$part.code"
        case $status in
        6 | 7 | 18 | 28 | 35 | 52 | 56 | 92) say "the connection failed (attempt $try of 3)"; sleep 2 ;;
        *) return "$status" ;;
        esac
    done
    return "$status"
}

say "downloading $url"
for attempt in resumed fresh; do
    [ -s "$part" ] || attempt=fresh
    download
    status=$?
    if [ $status = 0 ]; then
        if verify "$part"; then
            mv "$part" "$file" || exit 1
            [ $kind = none ] && done_with "$file" "$file is complete, and not verified"
            done_with "$file" "$file is complete and has the expected $kind"
        fi
        rm -f "$part"
        [ $attempt = resumed ] || fail "$url: expected $kind $checksum, found $found; the download was removed"
    elif [ $attempt = resumed ] && { [ "$code" = 416 ] || [ $status = 33 ] || [ $status = 36 ]; }; then
        rm -f "$part" # what is there is not a beginning of that file, or the server cannot resume
    elif [ -s "$part" ]; then
        fail "$url: the download failed (curl: $status); run this again to resume from $part"
    else
        rm -f "$part"
        fail "$url: the download failed (curl: $status)"
    fi
    say "the partial download cannot be used: starting anew"
done
