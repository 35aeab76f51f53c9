#!/usr/bin/env bash
# gpu_check.sh TOOLS BUILD - what tools/gpu-check.sh does without a GPU, with the tree BUILD, and
# the table that it makes of its benchmarks.
set -u
tools=$1
build=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
problem() {
    failures=$((failures + 1))
    echo "FAILED: $1"
}

# No GPU, whatever this machine has.
mkdir "$work/bin"
printf '#!/bin/sh\necho no devices were found\nexit 6\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
PATH=$work/bin:$PATH BUILD=$build bash "$tools/gpu-check.sh" "$work/out" >"$work/stdout" 2>&1 ||
    problem "gpu-check.sh without a GPU ends with $?: $(cat "$work/stdout")"
for line in '| machine-code | fine |' '| gpu | skipped: there is no GPU here |'; do
    grep -qxF -e "$line" "$work/out/summary.md" || problem "summary.md lacks: $line"
done
[ "$(grep -c '^| .* | ' "$work/out/summary.md")" -eq 3 ] || problem "summary.md has other steps"
[ ! -e "$work/out/int8.csv" ] || problem "something was measured without a GPU"

# A tree without such tests fails.
mkdir "$work/empty"
PATH=$work/bin:$PATH BUILD=$work/empty bash "$tools/gpu-check.sh" "$work/out2" >/dev/null 2>&1 &&
    problem "gpu-check.sh with an empty tree does not fail"
grep -q '^| machine-code | FAILED' "$work/out2/summary.md" || problem "an empty tree is fine"

# The table, of two files that hold several tables each.
cat >"$work/fp16.csv" <<'END'
n,k,m,median_us
8,16,1,10.0
8,16,2,12.0
n,k,m,median_us
4,16,1,0
END
cat >"$work/int8.csv" <<'END'
op,m,n,k,outlier_columns,median_us
"int8",1,8,16,0,5.0
"int8",1,8,16,16,20.0
op,m,n,k,outlier_columns,median_us
"int8",2,8,16,0,6.0
"int8",1,4,16,0,6.0
END
cat >"$work/expected" <<'END'
| N×K | M | fp16, µs | 0 outlier columns | all outlier columns |
|---|---|---|---|---|
| 8×16 | 1 | 10.0 | 2.00 × | 0.50 × |
| 8×16 | 2 | 12.0 | 2.00 × | – |
| 4×16 | 1 | – | – | – |

int8 is slower in 1 of 3 cells.
END
PYTHONIOENCODING=utf-8 python3 "$tools/gpu-check-table.py" "$work/int8.csv" "$work/fp16.csv" \
    >"$work/table" || problem "gpu-check-table.py ends with $?"
diff "$work/expected" "$work/table" || problem "gpu-check-table.py prints another table"
head -n 1 "$work/fp16.csv" >"$work/none.csv"
python3 "$tools/gpu-check-table.py" "$work/int8.csv" "$work/none.csv" >/dev/null &&
    problem "gpu-check-table.py does not fail without anything to compare"
[ "$failures" -eq 0 ]
