#!/bin/sh
# sass_selftest.sh NVCC PTX_INCLUDE_DIR - compiles kernels with known instructions and asks
# sass_check.py for them: it must find what is there, and report what is not.
set -u
folder=$(dirname "$0")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# compile OBJECT OPTION...
compile() {
    object=$1
    shift
    "$nvcc" -std=c++17 -c -I "$ptx" -gencode arch=compute_75,code=sm_75 \
        -gencode arch=compute_90,code=sm_90 "$@" "$folder/sass_planted.cu" -o "$work/$object" ||
        exit 1
}
nvcc=$1
ptx=$2
compile good.o
compile local.o -DPLANT_LOCAL

# reports OBJECT SENTENCES OPTION...: what sass_check.py says is wrong with the object, a sentence
# a line in any order, where kernels have their names without the mangling.
reports() {
    object=$1
    expected=$(printf '%s' "$2" | sort)
    shift 2
    python3 "$folder/sass_check.py" "$@" "$work/$object" >"$work/output"
    status=$?
    found=$(sed -n 's/^FAILED: //p' "$work/output" |
        sed 's/_Z[0-9]*\(with_[a-z]*\)P[A-Za-z0-9_]*/\1/' | sort)
    wanted=1
    [ -z "$expected" ] && wanted=0
    [ "$found" = "$expected" ] && [ "$status" -eq "$wanted" ] && return
    echo "FAILED: sass_check.py $*: exit code $status, '$found' instead of '$expected'"
    failures=$((failures + 1))
}

set -- --expect with_imma=IMMA --expect with_hmma=HMMA --expect with_idp=IDP
reports good.o '' --arch 75,90 "$@"
reports local.o 'sm_75 with_local has LOCAL, which nobody expects
sm_90 with_local has LOCAL, which nobody expects' "$@"
reports local.o '' --expect 'with_local|with_none=LOCAL?' "$@"
reports good.o 'no image for sm_80' --arch 75,80,90 "$@"
reports good.o 'sm_75 with_none has no IMMA
sm_90 with_none has no IMMA' --expect with_none=IMMA "$@"
reports good.o 'sm_75 with_idp has IDP, which nobody expects
sm_75 with_idp has no IMMA
sm_90 with_idp has IDP, which nobody expects
sm_90 with_idp has no IMMA' --expect with_idp=IMMA "$@"
reports good.o 'sm_75 with_hmma has HMMA, which nobody expects
sm_90 with_hmma has HMMA, which nobody expects' --expect with_imma=IMMA --expect with_idp=IDP
reports good.o 'sm_75 has no kernel with_more
sm_90 has no kernel with_more' --expect with_more=IMMA "$@"
: >"$work/empty.o"
reports empty.o 'no image for a GPU' "$@"
exit "$failures"
