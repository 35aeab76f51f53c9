#!/bin/sh
# bench.sh - gptneox-bench: its options, its tables, what it refuses. Nothing here judges a time.
. "$(dirname "$0")/lib.sh"

small=$FIXTURES/parallel-f32
bf16=$FIXTURES/head96-bf16
tools=$(cd "$(dirname "$0")/../../tools" && pwd) || exit 1

# Quick runs of both modes.
models="-m $small -p 4 -n 2 -r 1 -t 1"
kernels='--kernel -M 2 --shape 8x16 -r 1 -t 1 --rotate 0 --no-limits'

refused() {
    sentence=$1
    shift
    run 2 "$BENCH" "$@"
    expect_error "gptneox-bench: $sentence; --help lists the options"
}

# expect_rows N PATTERN: so many lines of standard output match.
expect_rows() {
    checks=$((checks + 1))
    found=$(grep -c -e "$2" "$out")
    [ "$found" -eq "$1" ] || problem "$found lines, not $1, match: $2"
}

# expect_json: standard output is JSON, as far as somebody is here to say so.
expect_json() {
    checks=$((checks + 1))
    if command -v python3 >/dev/null; then
        python3 -m json.tool "$out" >/dev/null 2>&1 || problem "standard output is not JSON"
    fi
}

# --- options of the model mode ---
refused 'there is no option --frobnicate' --frobnicate
refused '"x" is not an option (a model needs -m)' x
refused '--kernel must be the first argument' -p 1 --kernel
refused '--n-prompt needs a whole number, not ""' -p ''
refused '--n-prompt needs a whole number, not ""' -p 1,,2
refused '--n-prompt needs a whole number, not ""' -p 1,
refused '--n-prompt needs a whole number, not "x"' -p 4,x
refused '--n-prompt is between 0 and 1048576, not -1' -p 4,-1
refused '--n-gen is between 0 and 1048576, not 1048577' -n 1048577
refused '--n-depth needs a whole number, not "1.5"' --n-depth=0,1.5
refused '--threads is between 0 and 1024, not 1025' -t 1,1025
refused '--repetitions is between 1 and 100000, not 0' -r 0
refused '--repetitions needs a whole number, not "1,2"' -r 1,2
refused '--output is one of md|csv|json, not "xml"' -o xml
refused '--weights is one of int8|f16|bf16|f32, not "int4"' --weights int8,int4
refused '--weights is one of int8|f16|bf16|f32, not ""' --weights int8,
refused '--threshold is at least 0, not -1' --threshold -1
refused '--outliers is one of column|token, not "row"' --outliers row
refused '--quantize-head takes no value, but has "1"' --quantize-head=1
refused '-m needs a value (DIR[,DIR...])' -m
refused '--n-prompt takes 64 values at most' \
    -p "$(printf '1,%.0s' 1 2 3 4 5 6 7 8)$(printf '1,%.0s' 1 2 3 4 5 6 7 8)1" \
    -p "$(printf '1,%.0s' 1 2 3 4 5 6 7 8)$(printf '1,%.0s' 1 2 3 4 5 6 7 8)1" \
    -p "$(printf '1,%.0s' 1 2 3 4 5 6 7 8)$(printf '1,%.0s' 1 2 3 4 5 6 7 8)1" \
    -p "$(printf '1,%.0s' 1 2 3 4 5 6 7 8)$(printf '1,%.0s' 1 2 3 4 5 6 7 8)1"
refused 'there is nothing to measure: --n-prompt and --n-gen are 0' -p 0 -n 0
refused '--device needs auto, cpu, cuda or cuda:N, not "gpu"' --device gpu

# --- options of the kernel mode ---
refused '"x" is not an option' --kernel x
refused 'there is no option -p' --kernel -p 1
refused '--rows is between 1 and 1048576, not 0' --kernel -M 0
refused '--out-features is between 1 and 16777216, not 16777217' --kernel -N 16777217
refused '--in-features is between 1 and 133144, not 133145' --kernel -K 133145
for shape in '' x 8 8x 8xx 8x16x 8x16,8 0x8 8x0 8x133145 ' 8x16' +8x16 8x-1 \
    99999999999999999999x8; do
    last=${shape##*,}
    refused "--shape needs NxK with N to 16777216 and K to 133144, not \"$last\"" \
        --kernel --shape "$shape"
done
refused '--shape (8x8) excludes -N and -K' --kernel --shape 8x8 -N 8
refused '--shape (8x8) excludes -N and -K' --kernel -K 8 --shape 8x8
refused '--outliers is between 0 and 100, not 100.5' --kernel --outliers 1,100.5
refused '--outliers needs a number, not "column"' --kernel --outliers column
refused '--outlier-columns is between 0 and 133144, not 133145' --kernel --outlier-columns 0,133145
refused '--outliers and --outlier-columns exclude each other' \
    --kernel --outliers 1 --outlier-columns 1
refused '--device needs auto, cpu, cuda or cuda:N, not ""' --kernel --device ''
refused '--rule is one of column|token, not "row"' --kernel --rule row
refused '--op is one of int8|f16|bf16|f32, not "i8"' --kernel --op i8
refused '--isa is one of scalar|avx2|avxvnni|avx512|avx512vnni|neon|neondot|best, not "sse"' \
    --kernel --isa sse
refused '--rotate is between 0 and 1048576, not -1' --kernel --rotate -1

# --- help ---
run 0 "$BENCH" --help
cp "$out" "$work/help"
for option in model n-prompt n-gen n-depth weights threshold outliers quantize-head device threads \
    repetitions output verbose help version kernel; do
    expect_line "^  .*--$option" "$work/help"
done
expect_line '^Options .* and _ for - (--n_prompt)' "$work/help"
run 0 "$BENCH" kernel -h
expect_line '^Options .* and _ for - (--no_limits)' "$out"
expect_line '^Exit codes: .* 3 an instruction set that this processor lacks,$' "$out"
for option in rows out-features in-features shape outliers outlier-columns rule op isa rotate \
    no-limits device threads repetitions output verbose help; do
    expect_line "^  .*--$option" "$out"
done
cat "$out" >>"$work/help"
checks=$((checks + 1))
[ -z "$(awk 'length > 100' "$work/help")" ] || problem "--help has lines of more than 100 columns"
run 0 "$BENCH" --version
printf 'gptneox-bench %s\n' "$VERSION" >"$work/version"
expect_same "$out" "$work/version"

# --- models ---
# shellcheck disable=SC2086 # several options
run 0 "$BENCH" $models
head='^| model  *|  *size |  *params | weights | backend  *| threads | test  *|  *t/s |'
expect_rows 1 "$head median t/s |\$"
expect_rows 1 '^| -*- | -*: | -*: | -*- | -*- | -*: | -*- | -*: | -*: |$'
number='[0-9][0-9.]*'
for test in pp4 tg2; do
    row="^| parallel-f32 | *$number MiB | *$number M | int8 *| cpu ([a-z0-9]*, 1 thread) *| *1 |"
    expect_rows 1 "$row $test *| *$number ± 0\\.00 | *$number |\$"
done
checks=$((checks + 1))
[ "$(wc -l <"$out")" -eq 4 ] || problem "more or less than 4 lines"
[ ! -s "$err" ] || problem "standard error is not empty"

# Lists multiply, and an option that is given again adds to its list.
run 0 "$BENCH" -m "$small,$bf16/" -p 3,0,5 -n 1 -n 2 -d 0,7 -t 1,2 --weights int8,f32 -r 2 -o csv
head='^model,weight_bytes,n_parameters,weights,threshold,outliers,quantize_head,backend,threads'
head="$head,n_prompt,n_gen,n_depth,test,mean_ts,sd_ts,median_ts,min_ts,max_ts,repetitions"
expect_rows 1 "$head\$"
expect_rows 64 "$number,2\$"
expect_rows 32 '^"parallel-f32",'
expect_rows 32 '^"head96-bf16",'
expect_rows 32 ',"int8",6,"column",0,"cpu '
expect_rows 32 ',"f32",0,"",0,"cpu '
expect_rows 32 ', 2 threads)",2,'
expect_rows 8 ',3,0,0,"pp3",'
expect_rows 8 ',5,0,7,"pp5 @ d7",'
expect_rows 8 ',0,1,7,"tg1 @ d7",'
expect_rows 8 ',0,2,0,"tg2",'
for weights in f16 bf16; do
    # shellcheck disable=SC2086
    run 0 "$BENCH" $models --weights "$weights" -o csv
    expect_rows 2 "\"$weights\",0,\"\",0,"
done
# shellcheck disable=SC2086
run 0 "$BENCH" $models --threshold 2.5 --outliers token --quantize-head -v -o json
expect_json
expect_rows 2 '^    "model": "parallel-f32",$'
expect_rows 2 '^    "threshold": 2.5,$'
expect_rows 2 '^    "outliers": "token",$'
expect_rows 2 '^    "quantize_head": 1,$'
expect_rows 2 "^    \"median_ts\": $number,\$"
expect_line '^parallel-f32: loading .*, weights in int8$' "$err"
expect_line '^parallel-f32: tg2 on cpu (.*, 1 thread)$' "$err"

# A name that each format has to escape; a folder that is named by a dot; the bundled model.
odd="$work/a\"b|c\\d"
cp -R "$small" "$odd"
run 0 "$BENCH" -m "$odd" -p 1 -n 0 -r 1 -t 1 -o json
expect_json
expect_rows 1 '"model": "a\\"b|c\\\\d",'
run 0 "$BENCH" -m "$odd" -p 1 -n 0 -r 1 -t 1 -o csv
expect_rows 1 '^"a""b|c\\d",'
cd "$odd" || exit 1
run 0 "$BENCH" -m . -p 1 -n 0 -r 1 -t 1
expect_rows 1 '^| a"b\\|c\\d '
cd / || exit 1
run 0 "$BENCH" -p 2 -n 1 -r 1
expect_rows 2 '^| [a-z-]*demo '

# --- single operations ---
# shellcheck disable=SC2086
run 0 "$BENCH" $kernels
expect_rows 1 '^Weights: a single copy (last-level cache: [0-9]* MiB)$'
head='^| op  *|  *M |  *N |  *K | outliers | backend  *|  *time |  *min - max |'
expect_rows 1 "$head  *GOPS | of peak |  *GB/s | of read |\$"
row="^| int8 | *2 | *8 | *16 | *0 % | cpu (.*, 1 thread) *| *$number us | *$number - $number |"
expect_rows 1 "$row *$number | *n/a | *$number | *n/a |\$"

# shellcheck disable=SC2086
run 0 "$BENCH" $kernels -M 3 --op int8,f16,bf16,f32 --shape=5x7,8x16 --outliers 0,50 \
    --isa scalar,best -t 2 -o csv
head='^op,m,n,k,outlier_percent,outlier_columns,rule,backend,threads,copies,median_us,min_us,max_us'
head="$head,samples,gops,gops_limit,gops_fraction,weight_bytes,gbs,gbs_limit,gbs_fraction"
expect_rows 1 "$head\$"
expect_rows 80 ',1,[0-9.]*,,,[0-9]*,[0-9.]*,,$'
for op in f16 bf16 f32; do
    expect_rows 16 "^\"$op\",[23],[58],[17][6]*,0,0,\"\","
done
expect_rows 4 '^"int8",2,8,16,50,8,"column","cpu '
expect_rows 4 '^"int8",3,5,7,50,4,"column","cpu '
checks=$((checks + 1))
[ "$(grep -c '"cpu (scalar, ' "$out")" -ge 40 ] || problem "--isa scalar is not used"

# Outliers by their number: never more than there are columns, and none for other operations.
# shellcheck disable=SC2086
run 0 "$BENCH" $kernels --op int8,f16 --outlier-columns 0,3,133144 -o csv
for columns in 0 3 16; do
    expect_rows 1 "^\"int8\",2,8,16,[0-9.]*,$columns,\"column\","
done
expect_rows 3 '^"int8",'
expect_rows 0 '^"f16",2,8,16,[0-9.]*,[1-9]'
refused '--outlier-columns needs a whole number, not "x"' --kernel --outlier-columns x
refused '--outlier-columns is between 0 and 133144, not -1' --kernel --outlier-columns -1
refused '--outliers and --outlier-columns exclude each other' \
    --kernel --outliers 1 --outlier-columns 1

# shellcheck disable=SC2086
run 0 "$BENCH" $kernels --op int8,bf16 --rotate 1 --outliers 25 --rule token -v -o json
expect_json
expect_rows 2 '^    "copies": [0-9][0-9][0-9]*,$'
expect_rows 1 '^    "rule": "token",$'
expect_rows 1 '^    "outlier_columns": 4,$'
expect_rows 2 '^    "gops_limit": null,$'
expect_line '^1: int8 M 2 N 8 K 16 on cpu' "$err"

# As gpu-check.sh measures on a device, and what it makes of it; what exceeds K is K.
outliers=$(sed -n 's/^outliers=\([0-9,]*\).*/\1/p' "$tools/gpu-check.sh")
# shellcheck disable=SC2086
run 0 "$BENCH" $kernels --device cpu --outlier-columns "$outliers" -o csv
for cells in 0,0 6.25,1 43.75,7; do
    expect_rows 1 "^\"int8\",2,8,16,$cells,\"column\",\"cpu "
done
expect_rows 3 '^"int8",2,8,16,100,16,"column","cpu '
if command -v python3 >/dev/null; then
    cp "$out" "$work/int8.csv"
    printf 'n,k,m,median_us,algorithms,copies\n8,16,2,0.000001,1,1\n' >"$work/fp16.csv"
    run 0 python3 "$tools/gpu-check-table.py" "$work/int8.csv" "$work/fp16.csv"
    columns='0 outlier columns | 1 outlier columns | 7 outlier columns | all outlier columns'
    expect_line "^| N×K | M | fp16, µs | $columns |\$" "$out"
    expect_line '^| 8×16 | 2 | 0\.0 | 0\.00 × ' "$out"
    expect_line '^int8 is slower in 4 of 4 cells\.$' "$out"
fi

# The limits: measured before the row and behind it.
run 0 "$BENCH" --kernel -M 1 -N 8 -K 16 -r 1 -t 2 --rotate 1
expect_rows 1 '^Weights: copies in turns, to pass 1 MiB (last-level cache: [0-9]* MiB)$'
expect_rows 1 '^Limits with 2 threads: int8 .*, fp32 .*, reading .*, median of 2$'

# An instruction set that this machine lacks is refused by name.
for isa in avx2 avxvnni avx512 avx512vnni neon neondot; do
    command_line="gptneox-bench --kernel --isa $isa"
    # shellcheck disable=SC2086
    "$BENCH" $kernels --isa "$isa" >"$out" 2>"$err" </dev/null
    code=$?
    if [ "$code" -eq 0 ]; then
        expect_rows 1 "cpu ($isa, 1 thread)"
    else
        expect_code 3 "$code"
        expect_error_like "gptneox-bench: --isa $isa: this processor lacks it; its best is *"
        expect_rows 0 .
    fi
done

# --- what cannot be used ---
run 4 "$BENCH" -m "$work/nothing"
expect_error_like "gptneox-bench: *$work/nothing*No such file or directory*"
expect_rows 0 .
run 4 "$BENCH" -m "$small,$work/nothing" -p 1 -n 0 -r 1 -o json
expect_json
expect_error_like "gptneox-bench: *$work/nothing*No such file or directory*"
run 4 "$BENCH" -m ''
expect_error_like 'gptneox-bench: *'
run 2 "$BENCH" --kernel -M 1,1,1,1,1,1,1,1,1,1,1 -r 100000
expect_error_like 'gptneox-bench: 11 rows of 100000 repetitions are too many to measure*'
if [ -w /dev/full ]; then
    for options in --help "$models" "$kernels"; do
        command_line="gptneox-bench $options >/dev/full"
        # shellcheck disable=SC2086
        "$BENCH" $options >/dev/full 2>"$err" </dev/null
        expect_code 4 $?
        : >"$out"
        expect_error_like 'gptneox-bench: standard output cannot be written*'
    done
fi
finish
