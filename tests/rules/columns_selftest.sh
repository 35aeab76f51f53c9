#!/bin/sh
# columns_selftest.sh - plants lines that are too long and asks columns.sh to find them.
set -u
checker=$(dirname "$0")/columns.sh
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0
mkdir "$tree/src" "$tree/build-x"

line100=$(printf '%0100d' 0)
# of 100 characters, too, but 101 bytes
wide=$(printf '%099d\303\251' 0)
for name in src/a.c src/a.h src/a.def a.sh src/a.cu src/a.cuh src/a.cpp; do
    printf '%s\n%s\n' "$line100" "$wide" >"$tree/$name"
done
printf '%s0\n' "$line100" >"$tree/README.md"
printf '%s0\n' "$line100" >"$tree/build-x/made.c"
sh "$checker" "$tree" || {
    echo "FAILED: an obedient tree is refused"
    failures=1
}

for name in src/bad.c src/bad.h src/bad.def bad.sh src/bad.cu src/bad.cuh src/bad.cpp; do
    for line in "${line100}0" "${wide}0"; do
        printf 'short\n%s\n' "$line" >"$tree/$name"
        if found=$(sh "$checker" "$tree"); then
            echo "FAILED: $name may have 101 columns"
            failures=$((failures + 1))
        elif [ "$found" != "$name:2 has 101 columns, more than 100" ]; then
            echo "FAILED: $name is reported as: $found"
            failures=$((failures + 1))
        fi
    done
    rm "$tree/$name"
done
exit "$failures"
