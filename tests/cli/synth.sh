#!/bin/sh
# synth.sh - gptneox-synth: what it writes is a checkpoint that loads, and what it refuses.
. "$(dirname "$0")/lib.sh"

refused() {
    sentence=$1
    shift
    run 2 "$SYNTH" "$@"
    expect_error "gptneox-synth: $sentence; --help lists the options"
}

# --- options ---
refused 'needs a shape (-s) and an output (-o)'
refused 'needs a shape (-s) and an output (-o)' -s 14m
refused 'needs a shape (-s) and an output (-o)' -o "$work/x"
shapes='14m|31m|70m|160m|410m|1b|1.4b|2.8b|6.9b|12b|20b'
refused "--shape is one of $shapes, not \"3b\"" -s 3b
refused "--shape is one of $shapes, not \"\"" --shape=
refused '--outliers is between 0 and 6144, not -1' -s 14m -o "$work/x" --outliers -1
refused '--outliers is at most 128, the hidden size of 14m, not 129' -s 14m -o "$work/x" \
    --outliers 129
refused '--seed is at least 0, not -1' -s 14m -o "$work/x" --seed -1
refused '--force takes no value, but has "1"' --force=1
refused '-o needs a value (DIR)' -s 14m -o
refused 'there is no option --frobnicate' --frobnicate
refused '"x" is not an option (-s names the shape, -o the output)' x
checks=$((checks + 1))
[ ! -e "$work/x" ] || problem "a directory was made for nothing"
run 0 "$SYNTH" --help
expect_line '^Exit codes: 0 fine, 2 bad option, 4 ' "$out"
run 0 "$SYNTH" --version
expect_line "^gptneox-synth $VERSION\$" "$out"
if [ -w /dev/full ]; then
    command_line='gptneox-synth --help >/dev/full'
    "$SYNTH" --help >/dev/full 2>"$err" </dev/null
    expect_code 4 $?
    : >"$out"
    expect_error 'gptneox-synth: standard output cannot be written: No space left on device'
fi

# --- what it writes: 128 wide, 6 layers, and a header that starts with its length ---
run 0 "$SYNTH" -s 14m -o "$work/a"
expect_line '"model_type": "gpt_neox"' "$work/a/config.json"
expect_line '"hidden_size": 128,' "$work/a/config.json"
expect_line '"num_hidden_layers": 6,' "$work/a/config.json"
weights=$work/a/model.safetensors
header=$(od -A n -t u8 -N 8 "$weights" | tr -d ' ')
head -c "$((8 + header))" "$weights" | tail -c "$header" >"$work/header"
echo >>"$work/header"
expect_line '^{"gpt_neox.embed_in.weight":{"dtype":"F16","shape":\[50304,128\],' "$work/header"
tensors=$(tr '{' '\n' <"$work/header" | grep -c '"dtype":"F16"')
parameters=$((2 * 50304 * 128 + 6 * (12 * 128 * 128 + 13 * 128) + 2 * 128))
checks=$((checks + 2))
[ "$tensors" -eq $((6 * 12 + 4)) ] || problem "$tensors tensors in the header"
[ "$(wc -c <"$weights")" -eq $((8 + header + 2 * parameters)) ] ||
    problem "the file is $(wc -c <"$weights") bytes"
checks=$((checks + 1))
[ "$(ls "$work/a")" = "$(printf 'config.json\nmodel.safetensors')" ] || problem "more files"

# It loads, and all of it is there. (The prompt is random tokens.)
run 0 "$BENCH" -m "$work/a" -p 4 -n 0 -r 1 -t 1 -o csv
expect_line "^\"a\",[0-9]*,$parameters,\"int8\"," "$out"

# The same bytes from the same seed; others from another, and with outliers.
run 0 "$SYNTH" --shape=14m --output="$work/b" --seed=0 --outliers 0
expect_same "$weights" "$work/b/model.safetensors"
for option in --seed=1 --outliers=128; do
    run 0 "$SYNTH" -s 14m -o "$work/b" --force "$option"
    checks=$((checks + 1))
    ! cmp -s "$weights" "$work/b/model.safetensors" || problem "$option changes nothing"
done

# --- outputs that are there already, and such that cannot be written ---
for part in config.json model.safetensors model.safetensors.index.json; do
    mkdir "$work/there"
    echo mine >"$work/there/$part"
    run 4 "$SYNTH" -s 14m -o "$work/there"
    found="$work/there: expected a directory without a checkpoint, found $part"
    expect_error "gptneox-synth: $found"
    expect_line '^mine$' "$work/there/$part"
    run 0 "$SYNTH" -s 14m -o "$work/there" --force
    expect_same "$weights" "$work/there/model.safetensors"
    expect_same "$work/a/config.json" "$work/there/config.json"
    checks=$((checks + 1))
    [ ! -e "$work/there/model.safetensors.index.json" ] || problem "the old index is there"
    rm -r "$work/there"
done
run 4 "$SYNTH" -s 14m -o ''
expect_error 'gptneox-synth: cannot make the directory "": No such file or directory'
run 4 "$SYNTH" -s 14m -o "$work/header"
expect_error "gptneox-synth: cannot write to $work/header: Not a directory"
command_line='gptneox-synth with ulimit -f'
# shellcheck disable=SC3045 # POSIX has ulimit -f
(
    ulimit -f 2000
    exec "$SYNTH" -s 14m -o "$work/small"
) >"$out" 2>"$err" </dev/null
expect_code 4 $?
expect_error "gptneox-synth: cannot write to $work/small: File too large"
checks=$((checks + 1))
[ -z "$(ls "$work/small")" ] || problem "half a checkpoint was left"
finish
