# Sourced by the checks that are shell scripts: an empty folder to work in, which goes when they end, and what is not as
# it should be, said and counted. They end with `exit $((failures > 0))`.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0

problem() { echo "$what: $*"; failures=$((failures + 1)); }
expect() { "$@" || problem "not true: $*"; }
absent() { for path; do expect test ! -e "$path"; done; }

# ended STATUS WORD: the last command left $status, out and err; it exited with STATUS and err mentions WORD.
ended() {
    if [ "$status" != "$1" ]; then problem "exit $status instead of $1: $(cat err)"
    elif ! grep -qF -- "$2" err; then problem "no '$2' in: $(cat err)"; fi
}

# check WHAT STATUS WORD ARGUMENT...: $command exits with STATUS and mentions WORD on stderr.
check() {
    what=$1 expected=$2 word=$3
    shift 3
    "$command" "$@" >out 2>err
    status=$?
    ended "$expected" "$word"
}
