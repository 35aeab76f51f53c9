#!/bin/sh
# columns.sh ROOT - no line of the sources (*.c, *.h, *.def, *.sh, *.cu, *.cuh, *.cpp) below ROOT is
# longer than 100 columns. Prints each that is and fails if there is one. Folders of builds and of
# git do not count.
set -u
LC_ALL=C
export LC_ALL
cd "$1" || exit 2
found=$(find . -type d '(' -name 'build*' -o -name .git ')' -prune -o \
    \( -name '*.[ch]' -o -name '*.def' -o -name '*.sh' -o -name '*.cu' -o -name '*.cuh' \
    -o -name '*.cpp' \) -type f -print | sort |
    while read -r file; do
        # a character of UTF-8 is its bytes but for those that continue one
        tr -d '\200-\277' <"$file" | awk -v file="${file#./}" \
            'length > 100 {print file ":" NR " has " length " columns, more than 100"}'
    done)
[ -z "$found" ] && exit 0
echo "$found"
exit 1
