#!/bin/sh
# quantize.sh - gptneox-quantize: what it writes generates the same text, and what it refuses.
. "$(dirname "$0")/lib.sh"

# generate MODEL FILE: greedy text of a model.
generate() {
    run 0 "$GPTNEOX" -m "$1" -p 'In the beginning' -n 40 --temp 0
    cp "$out" "$2"
}

# --- the bundled model ---
run 0 "$QUANTIZE" -m "$MODEL" -o "$work/int8"
summary='[0-9]* parameters, [0-9.]* MiB of weights, 0.[0-9]* of the [0-9.]* in fp16'
expect_line "^$work/int8: $summary\$" "$out"
expect_same "$MODEL/tokenizer.json" "$work/int8/tokenizer.json"
expect_line '"load_in_8bit": true' "$work/int8/config.json"
expect_line '"llm_int8_threshold": 6.0' "$work/int8/config.json"
generate "$MODEL" "$work/text"
generate "$work/int8" "$work/text8"
expect_same "$work/text" "$work/text8"
run 0 "$QUANTIZE" -m "$work/int8" -o "$work/again" -t 1
expect_same "$work/int8/model.safetensors" "$work/again/model.safetensors"
expect_same "$work/int8/config.json" "$work/again/config.json"

run 0 "$QUANTIZE" --model="$MODEL" --output="$work/head" --quantize-head --threshold 4
expect_line '"llm_int8_threshold": 4.0' "$work/head/config.json"
expect_line '"llm_int8_skip_modules": \[\]' "$work/head/config.json"
run 0 "$GPTNEOX" -m "$MODEL" --quantize-head -p 'In the beginning' -n 40 --temp 0
cp "$out" "$work/text"
generate "$work/head" "$work/text8"
expect_same "$work/text" "$work/text8"

# --- outputs that are there already ---
run 4 "$QUANTIZE" -m "$MODEL" -o "$work/int8"
found="$work/int8: expected a directory without a checkpoint, found config.json"
expect_error "gptneox-quantize: $found"
run 0 "$QUANTIZE" -m "$MODEL" -o "$work/int8" --force --quantize-head
expect_same "$work/int8/model.safetensors" "$work/head/model.safetensors"
run 3 "$QUANTIZE" -m "$work/head" -o "$work/head/." --force
expect_error_like 'gptneox-quantize: *expected another directory than the model was loaded from'
expect_same "$work/int8/model.safetensors" "$work/head/model.safetensors"

# --- outputs that cannot be written ---
run 4 "$QUANTIZE" -m "$MODEL" -o "$work/a/b"
expect_error_like 'gptneox-quantize: *cannot make the directory: No such file or directory'
: >"$work/file"
run 4 "$QUANTIZE" -m "$MODEL" -o "$work/file"
expect_error "gptneox-quantize: $work/file: expected a directory, found a file"
command_line='gptneox-quantize with ulimit -f'
# shellcheck disable=SC3045 # POSIX has ulimit -f
(
    ulimit -f 2000
    exec "$QUANTIZE" -m "$MODEL" -o "$work/small"
) >"$out" 2>"$err" </dev/null
expect_code 4 $?
expect_error_like 'gptneox-quantize: *model.safetensors.tmp: cannot write the file: File too large'
checks=$((checks + 1))
[ ! -e "$work/small/config.json" ] && [ ! -e "$work/small/model.safetensors" ] ||
    problem "half a checkpoint was left"
if [ -w /dev/full ]; then
    command_line='gptneox-quantize >/dev/full'
    "$QUANTIZE" -m "$MODEL" -o "$work/full" >/dev/full 2>"$err" </dev/null
    expect_code 4 $?
    expect_error_like 'gptneox-quantize: standard output cannot be written: No space left on device'
fi

# --- a run that is killed leaves no checkpoint, and is in nobody's way ---
rm -rf "$work/killed"
mkdir "$work/killed"
mkfifo "$work/killed/generation_config.json.tmp" # its reader never comes: saving waits there
cp -R "$MODEL" "$work/source"
chmod -R u+w "$work/source"
printf '{}' >"$work/source/generation_config.json"
"$QUANTIZE" -m "$work/source" -o "$work/killed" >/dev/null 2>&1 </dev/null &
pid=$!
wait_for test -s "$work/killed/tokenizer.json"
kill -9 "$pid"
wait "$pid" 2>/dev/null
run 4 "$GPTNEOX" -m "$work/killed" -p x
rm "$work/killed/generation_config.json.tmp"
run 0 "$QUANTIZE" -m "$work/source" -o "$work/killed"
generate "$work/killed" "$work/text8"

# --- models and options that cannot be used ---
run 4 "$QUANTIZE" -m "$work/nothing" -o "$work/x"
expect_error_like "gptneox-quantize: *$work/nothing*No such file or directory*"
mkdir "$work/bad"
printf '{"model_type": "llama"}' >"$work/bad/config.json"
run 3 "$QUANTIZE" -m "$work/bad" -o "$work/x"
expect_error_like 'gptneox-quantize: *model_type: expected "gpt_neox", found "llama"'
checks=$((checks + 1))
[ ! -e "$work/x" ] || problem "a directory was made for nothing"
run 2 "$QUANTIZE"
expect_error 'gptneox-quantize: needs a model (-m) and an output (-o); --help lists the options'
run 2 "$QUANTIZE" -m "$MODEL"
expect_error_like 'gptneox-quantize: needs a model (-m) and an output (-o); *'
run 2 "$QUANTIZE" "$MODEL" "$work/x"
expect_error_like 'gptneox-quantize: *is not an option (-m names the model, -o the output); *'
run 2 "$QUANTIZE" -m "$MODEL" -o "$work/x" --threshold -1
expect_error_like 'gptneox-quantize: --threshold *-1*'
run 2 "$QUANTIZE" --nonsense
expect_error 'gptneox-quantize: there is no option --nonsense; --help lists the options'
run 0 "$QUANTIZE" --help
expect_line '^ *--quantize-head ' "$out"
expect_line '^Exit codes: 0 fine, 2 bad option, 3 bad model, 4 ' "$out"
run 0 "$QUANTIZE" --version
expect_line "^gptneox-quantize $VERSION\$" "$out"
finish
