#!/bin/sh
# interrupt.sh - Ctrl-C, and lines typed at a terminal.
. "$(dirname "$0")/lib.sh"

prompt='And it came to pass'
endless="--temp 0 --ignore-eos -n -1 -c 20000"

# Ctrl-C: the token is finished, what was generated is there, the summary too.
command_line='gptneox, interrupted'
: >"$out"
# shellcheck disable=SC2086 # several options
"$GPTNEOX" -p "$prompt" $endless >"$out" 2>"$err" </dev/null &
child=$!
more_than_prompt() { [ "$(wc -c <"$out")" -gt 60 ]; }
wait_for more_than_prompt
kill -INT "$child"
wait "$child"
expect_code 130 $?
expect_line '^generation: [0-9]* tokens, ' "$err"
generated=$(sed -n 's/^generation: \([0-9]*\) .*/\1/p' "$err")
cp "$out" "$work/interrupted"
run 0 "$GPTNEOX" -p "$prompt" --temp 0 --ignore-eos -n "$generated" -c 20000
expect_same "$work/interrupted" "$out"

# Lines at a terminal. script(1) makes one; without it there is nothing to test here.
if ! script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    echo "script(1) is missing: no terminal"
    finish
fi
keys=$work/keys
screen=$work/screen
code_file=$work/code

# open_terminal OPTIONS: a gptneox at a terminal, whose keys come from descriptor 3.
open_terminal() {
    rm -f "$keys" "$code_file"
    : >"$screen"
    mkfifo "$keys"
    command_line="gptneox $1 at a terminal"
    { script -qec "stty -echo; exec '$GPTNEOX' $1" /dev/null <"$keys" >"$screen" 2>&1
      echo $? >"$code_file"; } &
    exec 3>"$keys"
}
shows() { tr -d '\r' <"$screen" | grep -q -e "$1"; }
prompts_shown() { [ "$(grep -o '> ' "$screen" | wc -l)" -ge "$1" ]; }
close_terminal() {
    wait_for test -s "$code_file"
    exec 3>&-
    cp "$screen" "$err"
    expect_code "$1" "$(cat "$code_file")"
}

# Two lines continue one text; Ctrl-D leaves.
open_terminal '--temp 0 -n 12'
wait_for prompts_shown 1
printf 'And it came\n' >&3
wait_for prompts_shown 2
printf ' unto him, and\n' >&3
wait_for prompts_shown 3
printf '\004' >&3
close_terminal 0
expect_line 'generation: 24 tokens' "$screen"

# An answer is stopped with Ctrl-C and another line is read; Ctrl-C there leaves.
open_terminal "$endless"
wait_for prompts_shown 1
size_before=$(wc -c <"$screen")
printf 'In the beginning\n' >&3
more_on_screen() { [ "$(wc -c <"$screen")" -gt $((size_before + 100)) ]; }
wait_for more_on_screen
printf '\003' >&3
wait_for prompts_shown 2
printf '\003' >&3
close_terminal 130
wait_for shows 'generation: [0-9]* tokens'

# A line that is no UTF-8 is refused, and the next one is read.
open_terminal '--temp 0 -n 4'
wait_for prompts_shown 1
printf 'bad \377\n' >&3
wait_for shows 'gptneox: .*UTF-8.*byte 4 '
wait_for prompts_shown 2
printf 'And\n' >&3
wait_for prompts_shown 3
printf '\004' >&3
close_terminal 0

# A full context starts anew.
open_terminal '--temp 0 -n 20 -c 24 --ignore-eos'
wait_for prompts_shown 1
printf 'And it\n' >&3
wait_for prompts_shown 2
printf ' and all the people of the land said unto him\n' >&3
wait_for shows 'the context is full: starting anew'
wait_for prompts_shown 3
printf '\004' >&3
close_terminal 0
finish
