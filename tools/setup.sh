# Sourced by quickstart.sh and test.sh, with $root and $script set: installs what is missing, builds into $root/build.

. "$root/tools/messages.sh"

# What the build needs: a probe, the Debian package that provides it, and its name elsewhere.
needs() {
    cat <<'END'
command cc|gcc libc6-dev|a C11 compiler
command meson|meson|meson 0.64 or later
command ninja|ninja-build|ninja
command pkg-config|pkg-config|pkg-config
command python3|python3|Python 3
command curl|curl|curl
module OpenCL|ocl-icd-opencl-dev opencl-c-headers|the OpenCL ICD loader and headers
module clblast|libclblast-dev|CLBlast
module libcjson|libcjson-dev|cJSON
module libarchive|libarchive-dev|libarchive
module libjpeg|libjpeg-dev|libjpeg-turbo
module libpng|libpng-dev|libpng
module cmocka|libcmocka-dev|cmocka
driver|pocl-opencl-icd|an OpenCL driver: your GPU's, or POCL for the CPU
END
}

have() {
    case $1 in
    driver) ls "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/*.icd >/dev/null 2>&1 || [ -f "${OCL_ICD_VENDORS:-}" ] ;;
    command\ *) command -v "${1#* }" >/dev/null ;;
    module\ *) pkg-config --exists "${1#* }" 2>/dev/null ;;
    esac
}

# Sets $packages, for Debian, and $missing, in words.
find_missing() {
    packages='' missing=''
    while IFS='|' read -r probe package words; do
        have "$probe" && continue
        packages="$packages $package" missing="$missing
  $words"
    done <<END
$(needs)
END
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "installing needs root and there is no sudo; as root, run: apt-get install$packages"; fi
}

install_missing() {
    find_missing
    [ -n "$missing" ] || return 0
    [ "$1" = yes ] || fail "these are missing, and --no-install was given:$missing"
    command -v apt-get >/dev/null || fail "please install what is missing, with your system's packages:$missing"
    say "installing$packages"
    as_root apt-get update -q >&2 || fail "apt-get update failed; please install:$missing"
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages >&2 ||
        fail "apt-get install failed; please install:$missing"
    find_missing
    [ -z "$missing" ] || fail "still missing after the installation:$missing"
}

build() {
    [ -f "$root/build/build.ninja" ] || meson setup "$root/build" "$root" --buildtype=release >&2 ||
        fail "meson setup failed: its messages are above"
    ninja -C "$root/build" >&2 || fail "the build failed: its messages are above"
}
