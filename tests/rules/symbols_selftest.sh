#!/bin/sh
# symbols_selftest.sh NM CC - plants each kind of forbidden symbol and asks symbols.sh to find it.
set -u
nm=$1
cc=$2
checker=$(dirname "$0")/symbols.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# judged VERDICT LAYER CODE: the verdict, pass or fail, on an object file made of the code.
judged() {
    echo "$3" >"$work/code.c"
    "$cc" -c -O0 -w -o "$work/code.o" "$work/code.c" || exit 1
    verdict=fail
    sh "$checker" "$nm" "$2" "$work/code.o" >"$work/log" && verdict=pass
    if [ "$verdict" != "$1" ]; then
        echo "FAILED: $verdict, not $1, for $2: $3"
        cat "$work/log"
        failures=$((failures + 1))
    fi
}

good='int gi8_a(void) { return 1; } int gi8i_b; static int ggml_c(void) { return 2; }'
judged pass core "$good"
judged pass backend "$good int printf(const char *, ...);"
judged fail model "$good"
judged pass model 'int gptneox_a(void) { return 1; } int gptneoxi_b(void) { return 2; }'
judged fail core 'int gptneox_a(void) { return 1; }'
judged fail core 'static int nothing;'
judged pass backend "$good int _Z6gi8i_ei(int i) { return i; } int _ZN12_GLOBAL__N_11fEv;"
judged fail core "$good int _Z6gi8i_ei(int i) { return i; }"
judged fail backend "$good int _Z6helperi(int i) { return i; }"
judged fail backend "$good int _Z5ggml_i(int i) { return i; }"
judged fail core "$good int ggml_init(void) { return 0; }"
judged fail backend "$good int helper;"
judged fail core "$good const char my_gi8_table[] = {1, 2};"
for layer in core backend; do
    judged fail $layer "$good void abort(void); void gi8_d(void) { abort(); }"
    judged fail $layer "$good void exit(int); void gi8_d(void) { exit(1); }"
    judged fail $layer "$good int puts(const char *); void gi8_d(void) { puts(\"x\"); }"
    judged fail $layer "#include <stdio.h>
$good void gi8_d(int n) { printf(\"%d\", n); }"
    judged fail $layer "#include <stdio.h>
$good void gi8_d(int n) { fprintf(stderr, \"%d\", n); }"
done
threads='void gi8_d(void *a) { int pthread_create(); pthread_create(a, a, a, a); }'
judged fail core "$good $threads"
judged pass backend "$good $threads"
judged fail core "$good void *fopen(); void *gi8_d(void) { return fopen(\"a\", \"r\"); }"
exit "$failures"
