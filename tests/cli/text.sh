#!/bin/sh
# text.sh - the text that gptneox generates: the same bytes however it is asked for and computed.
. "$(dirname "$0")/lib.sh"

prompt='And it came to pass'
greedy="$(dirname "$0")/greedy.txt" # the prompt and 24 tokens, int8 weights

# generates FILE OPTION...: prompt and text are exactly the file.
generates() {
    file=$1
    shift
    run 0 "$GPTNEOX" "$@"
    expect_same "$out" "$file"
}

generates "$greedy" -p "$prompt" -n 24 --temp 0

# However the options are spelled, and wherever the model is named.
generates "$greedy" -m "$MODEL" --prompt="$prompt" --n_predict 24 --temp=0
generates "$greedy" --model="$MODEL/" -p "$prompt" --n-predict=24 --temp 0.0 -v --seed 5

# Top-k 1 is greedy whatever the temperature.
generates "$greedy" -p "$prompt" -n 24 --temp 3 --top_k=1

# From a file, with and without a newline at its end, and from standard input.
printf '%s' "$prompt" >"$work/prompt"
generates "$greedy" -f "$work/prompt" -n 24 --temp 0
printf '%s\n' "$prompt" >"$work/prompt"
generates "$greedy" --file "$work/prompt" -n 24 --temp 0
command_line='gptneox -f - <prompt'
"$GPTNEOX" -f - -n 24 --temp 0 <"$work/prompt" >"$out" 2>"$err"
expect_code 0 $?
expect_same "$out" "$greedy"
command_line='cat prompt | gptneox'
cat "$work/prompt" | "$GPTNEOX" -n 24 --temp 0 >"$out" 2>"$err"
expect_code 0 $?
expect_same "$out" "$greedy"

# Threads and instruction sets change no byte. One that this machine lacks is refused by name.
for threads in 1 2 3 8; do
    generates "$greedy" -p "$prompt" -n 24 --temp 0 -t "$threads"
done
sets=0
for isa in scalar avx2 avxvnni avx512 avx512vnni neon neondot; do
    command_line="GI8_CPU_ISA=$isa gptneox"
    GI8_CPU_ISA=$isa "$GPTNEOX" -p "$prompt" -n 24 --temp 0 -v >"$out" 2>"$err" </dev/null
    code=$?
    if [ "$code" -eq 0 ]; then
        sets=$((sets + 1))
        expect_same "$out" "$greedy"
        expect_line "^backend: cpu ($isa, " "$err"
    else
        expect_code 3 "$code"
        expect_error_like "gptneox: *$isa*"
    fi
done
checks=$((checks + 1))
[ "$sets" -ge 1 ] || problem "not even the scalar kernels ran"
run 3 env GI8_CPU_ISA=quantum "$GPTNEOX" -p "$prompt"
expect_error_like 'gptneox: *quantum*'

# Outliers token by token, no outliers, the head in int8, other weights: another model, still text.
for options in '--outliers token' '--outliers=column --threshold 3' '--threshold 0' \
    '--quantize-head' '--weights f16' '--weights=bf16' '--weights f32' '--weights int8'; do
    # shellcheck disable=SC2086 # several options
    run 0 "$GPTNEOX" -p "$prompt" -n 8 --temp 0 $options
    checks=$((checks + 1))
    [ "$(head -c "${#prompt}" "$out")" = "$prompt" ] || problem "the prompt is not echoed"
    expect_line '^generation: 8 tokens, ' "$err"
    checks=$((checks + 1))
    [ "$(wc -c <"$out")" -ge $((${#prompt} + 8)) ] || problem "hardly any text follows the prompt"
done

# The same seed, the same text; another one, another text.
run 0 "$GPTNEOX" -p "$prompt" -n 48 --temp 1.5 --top-k 0 --top-p 1 --seed 7
expect_line '^seed: 7$' "$err"
cp "$out" "$work/seed7"
generates "$work/seed7" -p "$prompt" -n 48 --temp 1.5 --top-k 0 --top-p 1 --seed 7 -t 1
run 0 "$GPTNEOX" -p "$prompt" -n 48 --temp 1.5 --top-k 0 --top-p 1 --seed 8
checks=$((checks + 1))
! cmp -s "$out" "$work/seed7" || problem "seeds 7 and 8 give the same text"

# A seed from the clock is printed, and gives the text again.
run 0 "$GPTNEOX" -p "$prompt" -n 48 --temp 1.5
seed=$(sed -n 's/^seed: //p' "$err")
cp "$out" "$work/clock"
generates "$work/clock" -p "$prompt" -n 48 --temp 1.5 --seed "$seed"

# The samplers' options have an effect of their own: each makes the wildest sampling greedy.
for options in '--top-k 1' '--top-p 0.000001' '--min-p 1'; do
    # shellcheck disable=SC2086
    generates "$greedy" -p "$prompt" -n 24 --temp 1.5 --seed 7 $options
done
run 0 "$GPTNEOX" -p "$prompt" -n 96 --temp 0 --ignore-eos
cp "$out" "$work/plain"
run 0 "$GPTNEOX" -p "$prompt" -n 96 --temp 0 --ignore-eos --repeat-penalty 1.5
checks=$((checks + 1))
! cmp -s "$out" "$work/plain" || problem "--repeat-penalty 1.5 has no effect"
generates "$work/plain" -p "$prompt" -n 96 --temp 0 --ignore-eos --repeat-penalty 1.5 \
    --repeat-last-n 0

# Nothing to generate: the prompt, and a newline.
printf '%s\n' "$prompt" >"$work/echo"
generates "$work/echo" -p "$prompt" -n 0

# An empty prompt starts a text, and is no newline.
run 0 "$GPTNEOX" -p '' -n 8 --temp 0
checks=$((checks + 1))
[ "$(wc -c <"$out")" -gt 8 ] || problem "an empty prompt generates nothing"
cp "$out" "$work/empty"
generates "$work/empty" -f /dev/null -n 8 --temp 0

# Until the context is full: 40 positions hold 40 tokens, and one more is chosen.
run 0 "$GPTNEOX" -p "$prompt" -n -1 -c 40 --temp 0 --ignore-eos -v
expect_line '^\[the context is full\]$' "$err"
n_prompt=$(sed -n 's/^prompt: \([0-9]*\) tokens.*/\1/p' "$err")
expect_line "^generation: $((41 - n_prompt)) tokens" "$err"
expect_line '^context: 40 tokens$' "$err"

# The summary.
run 0 "$GPTNEOX" -p "$prompt" -n 24 --temp 0
expect_line '^weights: [0-9]* bytes ([0-9.]* MiB), 0\.[0-9]* of the [0-9]* in fp16$' "$err"
expect_line '^KV cache: [0-9]* bytes ([0-9.]* MiB)$' "$err"
expect_line "^prompt: $n_prompt tokens, [0-9.]* tokens/s$" "$err"
expect_line '^generation: 24 tokens, [0-9.]* tokens/s$' "$err"
expect_line '^outliers: [0-9.]* % of the columns of activations$' "$err"
run 0 "$GPTNEOX" -p "$prompt" -n 2 --temp 0 --weights f16
expect_line '^weights: [0-9]* bytes ([0-9.]* MiB), 1\.00[0-9] of the [0-9]* in fp16$' "$err"
checks=$((checks + 1))
! grep -q '^outliers' "$err" || problem "outliers are counted without int8 weights"
checks=$((checks + 1))
! grep -q 'loading' "$err" || problem "a progress bar outside a terminal"

# A context beyond the training is remarked on.
run 0 "$GPTNEOX" -p "$prompt" -n 2 -c 1000
expect_line '^the context of 1000 tokens goes beyond the 512 that the model was trained for$' "$err"
finish
