#!/bin/sh
# tokenize.sh - gptneox-tokenize: text to ids and back, byte for byte, and what it refuses.
. "$(dirname "$0")/lib.sh"

small=$FIXTURES/../tokenizer/small.json

# expect_output TEXT: standard output is exactly this, standard error is empty.
expect_output() {
    printf '%s' "$1" >"$work/expected"
    expect_same "$out" "$work/expected"
    [ ! -s "$err" ] || problem "standard error is not empty"
}

newline='
'

# There and back. Id 646 is a run of two spaces, 640 one of eight; both are added tokens.
run 0 "$TOKENIZE" --tokenizer "$small" -p 'a  b<|endoftext|><|padding|>        '
ids=$(cat "$out")
expect_output "$ids$newline"
expect_line '^[0-9]* 646 [0-9]* 0 1 640$' "$out"
run 0 "$TOKENIZE" --tokenizer "$small" --decode "$ids"
expect_output 'a  b<|endoftext|><|padding|>        '
run 0 "$TOKENIZE" --tokenizer="$small" --decode "$(echo "$ids" | tr ' ' ',')"
expect_output 'a  b<|endoftext|><|padding|>        '
run 0 "$TOKENIZE" --tokenizer "$small" --no-special --decode "$ids"
expect_output 'a  b        '
run 0 "$TOKENIZE" --tokenizer "$small" --no-special -p '<|endoftext|>'
checks=$((checks + 1))
[ "$(wc -w <"$out")" -gt 1 ] || problem "the special token is still one id"
run 0 "$TOKENIZE" --tokenizer "$small" --decode "$(cat "$out")"
expect_output '<|endoftext|>'

# Bytes that a shell cannot hold: NUL, no newline at the end, newlines at the end.
for text in 'x\0y' 'no newline' 'newlines\n\n' '\r\n' '\303\251t\303\251 \360\237\230\200' ''; do
    # shellcheck disable=SC2059 # the text is a format
    printf "$text" >"$work/text"
    run 0 "$TOKENIZE" --tokenizer "$small" -f "$work/text"
    cp "$out" "$work/ids"
    command_line="tokenize <$text"
    "$TOKENIZE" --tokenizer "$small" <"$work/text" >"$out" 2>"$err"
    expect_code 0 $?
    expect_same "$out" "$work/ids"
    "$TOKENIZE" --tokenizer "$small" -f - <"$work/text" >"$out" 2>"$err"
    expect_code 0 $?
    expect_same "$out" "$work/ids"
    "$TOKENIZE" --tokenizer "$small" --decode - <"$work/ids" >"$out" 2>"$err"
    expect_code 0 $?
    expect_same "$out" "$work/text"
    run 0 "$TOKENIZE" --tokenizer "$small" --decode - -f "$work/ids"
    expect_same "$out" "$work/text"
done

# Nothing is printed for nothing; ids without a token vanish; a part of a character is what it is.
run 0 "$TOKENIZE" --tokenizer "$small" -p ''
expect_output "$newline"
run 0 "$TOKENIZE" --tokenizer "$small" --decode ''
expect_output ''
run 0 "$TOKENIZE" --tokenizer "$small" --decode '647 2147483647'
expect_output ''

# A folder, as for the model.
mkdir "$work/model"
cp "$small" "$work/model/tokenizer.json"
run 0 "$TOKENIZE" -m "$work/model" -p 'a  b'
expect_line '^[0-9]* 646 [0-9]*$' "$out"

run 0 "$TOKENIZE" --help
expect_line '^usage: gptneox-tokenize' "$out"
expect_line '^Exit codes: 0 fine, 2 bad option, 3 ' "$out"
checks=$((checks + 1))
[ ! -s "$err" ] || problem "standard error is not empty"

run 0 "$TOKENIZE" --version
expect_line "^gptneox-tokenize $VERSION\$" "$out"

# What it refuses: 2 usage, 3 input, 4 files.
run 2 "$TOKENIZE" text
hint='a text is given with -p, a file with -f'
expect_error "gptneox-tokenize: \"text\" is not an option ($hint); --help lists the options"
run 2 "$TOKENIZE" -p a -f x
expect_error 'gptneox-tokenize: -p excludes -f and --decode; --help lists the options'
run 2 "$TOKENIZE" -p a --decode 1
expect_error 'gptneox-tokenize: -p excludes -f and --decode; --help lists the options'
run 2 "$TOKENIZE" -f x --decode 1
expect_error 'gptneox-tokenize: -f goes with --decode - only; --help lists the options'
run 2 "$TOKENIZE" -m x --tokenizer y
expect_error 'gptneox-tokenize: -m and --tokenizer exclude each other; --help lists the options'
run 2 "$TOKENIZE" --frobnicate
expect_error 'gptneox-tokenize: there is no option --frobnicate; --help lists the options'
run 2 "$TOKENIZE" -p
expect_error 'gptneox-tokenize: -p needs a value (TEXT); --help lists the options'

for bad in x 1x 1.5 +1 -1 2147483648 99999999999999999999 '1;2'; do
    run 3 "$TOKENIZE" --tokenizer "$small" --decode "7 $bad 8"
    expect_error "gptneox-tokenize: \"$bad\" is not a token id"
done
printf 'ab\377' >"$work/invalid"
run 3 "$TOKENIZE" --tokenizer "$small" -f "$work/invalid"
expect_error 'gptneox-tokenize: the text is not valid UTF-8: byte 2 is 0xFF'
printf '1 2\000 3' >"$work/nul"
run 3 "$TOKENIZE" --tokenizer "$small" --decode - -f "$work/nul"
expect_error 'gptneox-tokenize: the list of ids contains a NUL byte'
echo '{}' >"$work/empty.json"
run 3 "$TOKENIZE" --tokenizer "$work/empty.json" -p a
expect_error "gptneox-tokenize: $work/empty.json: \"model\" is nothing, not an object"

run 4 "$TOKENIZE" --tokenizer "$small" -f "$work/absent"
expect_error_like "gptneox-tokenize: $work/absent cannot be opened*"
run 4 "$TOKENIZE" --tokenizer "$small" -f "$work"
expect_error_like "gptneox-tokenize: $work cannot be read*directory"
run 4 "$TOKENIZE" -m "$work/absent" -p a
expect_error_like "gptneox-tokenize: $work/absent/tokenizer.json*"
run 4 "$TOKENIZE" --tokenizer "$work" -p a
expect_error_like "gptneox-tokenize: $work*directory"
if [ -w /dev/full ]; then
    command_line="tokenize >/dev/full"
    "$TOKENIZE" --tokenizer "$small" -p a >/dev/full 2>"$err"
    expect_code 4 $?
    : >"$out"
    expect_error_like 'gptneox-tokenize: standard output cannot be written*'
fi

finish
