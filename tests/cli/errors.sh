#!/bin/sh
# errors.sh - models, prompts and outputs that cannot be used: one sentence and an exit code each.
. "$(dirname "$0")/lib.sh"

# copy_model: a copy of the bundled model in $copy, to be broken.
copy=$work/model
copy_model() {
    rm -rf "$copy"
    mkdir "$copy"
    cp "$MODEL/config.json" "$MODEL/tokenizer.json" "$MODEL/model.safetensors" "$copy/"
    chmod -R u+w "$copy"
}

# --- prompts ---
run 4 "$GPTNEOX" -f "$work/nothing"
expect_error "gptneox: $work/nothing cannot be opened: No such file or directory"
run 4 "$GPTNEOX" -f "$work"
expect_error "gptneox: $work cannot be read: Is a directory"
run 3 "$GPTNEOX" -p "$(printf 'In the \377')"
expect_error_like 'gptneox: *UTF-8*byte 7 *0xFF*'
printf 'ab\300\257' >"$work/bad"
run 3 "$GPTNEOX" -f "$work/bad"
expect_error_like 'gptneox: *UTF-8*byte 2 *0xC0*'
run 3 "$GPTNEOX" -c 4 -p 'one two three four five six seven eight'
expect_error_like 'gptneox: the prompt has [0-9]* tokens, the context only 4 (--ctx-size sets it)'

# --- devices: there is no 1000th, if this build knows CUDA at all ---
run 3 "$GPTNEOX" --device cuda:1000 -p x
expect_error_like 'gptneox: *[cC][uU][dD][aA]*'

# --- models ---
run 4 "$GPTNEOX" -m "$work/nothing" -p x
expect_error_like "gptneox: *$work/nothing*No such file or directory*"
mkdir "$work/empty"
run 4 "$GPTNEOX" -m "$work/empty" -p x
expect_error_like "gptneox: *$work/empty/config.json*No such file or directory*"
run 4 "$GPTNEOX" -m "$MODEL/config.json" -p x
expect_error_like "gptneox: *$MODEL/config.json*expected a directory*"
run 4 "$GPTNEOX" -m '' -p x
expect_error_like 'gptneox: *'
run 3 "$GPTNEOX" -m "$FIXTURES/parallel-f32" -p x
expect_error "gptneox: $FIXTURES/parallel-f32 has no tokenizer.json"

copy_model
chmod 000 "$copy/model.safetensors"
if [ ! -r "$copy/model.safetensors" ]; then # root reads everything
    run 4 "$GPTNEOX" -m "$copy" -p x
    expect_error_like 'gptneox: *model.safetensors*Permission denied*'
    chmod 600 "$copy/model.safetensors"
    chmod 000 "$copy"
    run 4 "$GPTNEOX" -m "$copy" -p x
    expect_error_like 'gptneox: *config.json*Permission denied*'
    chmod 700 "$copy"
fi

copy_model
rm "$copy/model.safetensors"
run 4 "$GPTNEOX" -m "$copy" -p x
expect_error_like "gptneox: *$copy*model.safetensors*"
: >"$copy/pytorch_model.bin"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *expected model.safetensors, found pytorch_model.bin: *convert*'

copy_model
head -c 4000000 "$MODEL/model.safetensors" >"$copy/model.safetensors"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *model.safetensors*'
printf 'not a checkpoint' >"$copy/model.safetensors"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *model.safetensors*'

copy_model
printf '{"vocab_size": ' >"$copy/config.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *config.json*'
sed 's/"hidden_size": *[0-9]*/"hidden_size": 0/' "$MODEL/config.json" >"$copy/config.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *hidden_size*0*'
sed 's/"hidden_act": *"[a-z]*"/"hidden_act": "swish9"/' "$MODEL/config.json" >"$copy/config.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *hidden_act*swish9*'
sed 's/"vocab_size": *[0-9]*/"vocab_size": 4096/' "$MODEL/config.json" >"$copy/config.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *embed_in.weight*4096*2048*'

copy_model
printf '{"model": {"type": "WordPiece"}}' >"$copy/tokenizer.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *WordPiece*'
rm "$copy/tokenizer.json"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error "gptneox: $copy has no tokenizer.json"

# A tokenizer with more tokens than the embedding has rows.
rm -rf "$copy"
cp -R "$FIXTURES/parallel-f32" "$copy"
chmod -R u+w "$copy"
cp "$MODEL/tokenizer.json" "$copy/"
run 3 "$GPTNEOX" -m "$copy" -p x
expect_error_like 'gptneox: *tokenizer.json: *vocab_size 100 of config.json*'

# The last tensor of the file is a norm. NaN in it is NaN in every logit.
copy_model
size=$(wc -c <"$MODEL/model.safetensors")
head -c "$((size - 256))" "$MODEL/model.safetensors" >"$copy/model.safetensors"
head -c 256 /dev/zero | tr '\0' '\377' >>"$copy/model.safetensors"
run 3 "$GPTNEOX" -m "$copy" -p x -n 4
expect_error_like 'gptneox: *NaN*'

# --- memory ---
run 5 "$GPTNEOX" -p x -c 2147483647
expect_error_like 'gptneox: *bytes*'

# --- output ---
if [ -w /dev/full ]; then
    command_line='gptneox >/dev/full'
    "$GPTNEOX" -p x -n 4 >/dev/full 2>"$err" </dev/null
    expect_code 4 $?
    expect_error_like 'gptneox: standard output cannot be written: No space left on device'
fi
command_line='gptneox | (a reader that leaves)'
{
    "$GPTNEOX" -p x -n -1 -c 20000 --ignore-eos 2>"$err" </dev/null
    echo $? >"$work/code"
} | :
wait_for test -s "$work/code"
expect_code 4 "$(cat "$work/code")"
expect_error_like 'gptneox: standard output cannot be written: Broken pipe'
command_line='gptneox >&-'
"$GPTNEOX" -p x -n 4 >&- 2>"$err" </dev/null
expect_code 4 $?
finish
