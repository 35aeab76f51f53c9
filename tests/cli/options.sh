#!/bin/sh
# options.sh - what the command line of gptneox accepts and refuses. Nothing here loads a model.
. "$(dirname "$0")/lib.sh"

refused() {
    sentence=$1
    shift
    run 2 "$GPTNEOX" "$@"
    expect_error "gptneox: $sentence; --help lists the options"
}

refused 'there is no option --frobnicate' --frobnicate
refused 'there is no option -z' -z
refused 'there is no option -n5' -n5
refused 'there is no option --' --
refused 'there is no option -' -
refused 'there is no option --temp-=1' --temp-=1
refused '"hello" is not an option (a prompt needs -p)' hello
refused '"" is not an option (a prompt needs -p)' ''
refused '-m needs a value (DIR)' -m
refused '--model needs a value (DIR)' --model
refused '-p needs a value (TEXT)' -p
refused '-f needs a value (FILE)' -f
refused '--temp needs a value (T)' --temp
refused '--weights needs a value (int8|f16|bf16|f32)' --weights
refused '--prompt and --file (x) exclude each other' -p a -f x
refused '--ignore-eos takes no value, but has "1"' --ignore-eos=1
refused '--quantize-head takes no value, but has ""' --quantize-head=

for option in n-predict ctx-size threads seed top-k repeat-last-n; do
    for value in '' x 1x 1.5 ' 1' 0x10 nan; do
        refused "--$option needs a whole number, not \"$value\"" "--$option" "$value"
    done
done
for option in temp top-p min-p repeat-penalty threshold; do
    for value in '' x 1x ' 1' nan inf 1e999; do
        refused "--$option needs a number, not \"$value\"" "--$option=$value"
    done
done

for value in '' gpu CPU cuda: cuda:x cuda:-1 cuda:1x cuda:99999999999; do
    refused "--device needs auto, cpu, cuda or cuda:N, not \"$value\"" "--device=$value"
done

refused '--n-predict is at least -1, not -2' -n -2
refused '--n-predict is at most 2147483647, not 2147483648' -n 2147483648
huge=99999999999999999999
refused "--n-predict is at most 2147483647, not $huge" --n_predict=$huge
refused '--ctx-size is at least 0, not -1' -c -1
refused '--threads is between 0 and 1024, not -1' -t -1
refused '--threads is between 0 and 1024, not 1025' -t 1025
refused '--seed is at least -1, not -2' -s -2
refused '--seed is at most 9007199254740991, not 9007199254740992' -s 9007199254740992
refused '--temp is at least 0, not -0.1' --temp -0.1
refused '--top-k is at least 0, not -1' --top_k -1
refused '--top-p is between 1e-06 and 1, not 0' --top-p 0
refused '--top-p is between 1e-06 and 1, not 1.01' --top_p=1.01
refused '--min-p is between 0 and 1, not -1' --min-p -1
refused '--repeat-penalty is at least 0.01, not 0' --repeat-penalty 0
refused '--repeat-last-n is at least 0, not -1' --repeat_last_n -1
refused '--threshold is at least 0, not -6' --threshold -6
refused '--weights is one of int8|f16|bf16|f32, not "int4"' --weights int4
refused '--weights is one of int8|f16|bf16|f32, not "int"' --weights=int
refused '--weights is one of int8|f16|bf16|f32, not ""' --weights=
refused '--outliers is one of column|token, not "row"' --outliers row

# Bad options are found before anything else is done, and the first one is named.
refused 'there is no option --a' --a --b
refused '--temp needs a number, not "hot"' -m /nonexistent -f /nonexistent --temp hot

run 0 "$GPTNEOX" --help
expect_line '^usage: gptneox ' "$out"
cp "$out" "$work/help"
for option in model prompt file n-predict ctx-size threads seed temp top-k top-p min-p \
    repeat-penalty repeat-last-n ignore-eos weights threshold outliers quantize-head \
    verbose help version; do
    expect_line "^  .*--$option " "$work/help"
done
checks=$((checks + 1))
[ -z "$(awk 'length > 100' "$work/help")" ] || problem "--help has lines of more than 100 columns"
run 0 "$GPTNEOX" -h
expect_same "$out" "$work/help"

run 0 "$GPTNEOX" --version
printf 'gptneox %s\n' "$VERSION" >"$work/version"
expect_same "$out" "$work/version"

if [ -w /dev/full ]; then
    command_line="gptneox --help >/dev/full"
    "$GPTNEOX" --help >/dev/full 2>"$err" </dev/null
    expect_code 4 $?
    : >"$out"
    expect_error 'gptneox: standard output cannot be written: No space left on device'
fi
finish
