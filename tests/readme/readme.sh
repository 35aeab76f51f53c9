#!/bin/sh
# readme.sh ROOT INT8_LAYER GENERATE - README.md shows the programs of this folder as they are, with
# what they print.
set -u
root=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# blocks: prints each fenced block of README.md to $work/block.N.
awk -v out="$work/block." '
    /^```/ { inside = !inside; n += inside; next }
    inside { print > (out n) }' "$root/README.md"

# shown FILE WHAT: some block has exactly these bytes.
shown() {
    for block in "$work"/block.*; do
        cmp -s "$block" "$1" && return
    done
    echo "FAILED: README.md does not show $2, which is:"
    cat "$1"
    failures=$((failures + 1))
}

shown "$root/tests/readme/int8_layer.c" "tests/readme/int8_layer.c"
shown "$root/tests/readme/generate.c" "tests/readme/generate.c"
"$2" >"$work/layer" || failures=$((failures + 1))
shown "$work/layer" "the output of int8_layer"
"$3" "$root/models/gptneox/demo" "And it came to pass" >"$work/text" || failures=$((failures + 1))
[ "$(wc -c <"$work/text")" -gt 24 ] || {
    echo "FAILED: generate prints too little:"
    cat "$work/text"
    failures=$((failures + 1))
}
{ printf 'And it came to pass'; cat "$work/text"; } | cmp - "$root/tests/cli/greedy.txt" ||
    failures=$((failures + 1))
exit "$failures"
