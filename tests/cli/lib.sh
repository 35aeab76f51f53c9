# shellcheck shell=sh
# lib.sh - sourced by the tests of the programs. POSIX shell.
# The environment names what is tested: GPTNEOX (the program), MODEL (the bundled model's folder),
# FIXTURES (tests/reference/model). Every test works in a folder of its own, $work.
set -u
LC_ALL=C
export LC_ALL
unset GI8_CPU_ISA
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap '' PIPE
failures=0
checks=0
[ -x "$GPTNEOX" ] || {
    echo "there is no program $GPTNEOX"
    exit 1
}

# run EXPECTED_CODE COMMAND...: runs it with an empty standard input; $out and $err name its output.
out=$work/stdout
err=$work/stderr
run() {
    expected=$1
    shift
    command_line="$*"
    "$@" >"$out" 2>"$err" </dev/null
    code=$?
    expect_code "$expected" "$code"
}

problem() {
    failures=$((failures + 1))
    echo "FAILED: $command_line"
    echo "  $1"
    echo "  standard error was:"
    sed 's/^/    /' "$err" | head -n 20
}

expect_code() {
    checks=$((checks + 1))
    [ "$2" -eq "$1" ] || problem "exit code $2, not $1"
}

# expect_error SENTENCE: standard error is exactly this line, and nothing went to standard output.
expect_error() {
    checks=$((checks + 1))
    [ "$(cat "$err")" = "$1" ] || problem "expected: $1"
    [ ! -s "$out" ] || problem "standard output is not empty"
}

# expect_error_like PATTERN: the last line of standard error matches a shell pattern; standard
# output may hold anything.
expect_error_like() {
    checks=$((checks + 1))
    last=$(tail -n 1 "$err")
    # shellcheck disable=SC2254 # the argument is a pattern
    case $last in
    $1) ;;
    *) problem "expected: $1" ;;
    esac
}

# expect_same FILE_A FILE_B: the same bytes.
expect_same() {
    checks=$((checks + 1))
    cmp "$1" "$2" >/dev/null 2>&1 || {
        problem "$1 and $2 differ"
        head -c 600 "$1"
        echo
        head -c 600 "$2"
        echo
    }
}

# expect_line PATTERN FILE: some line of the file matches a basic regular expression.
expect_line() {
    checks=$((checks + 1))
    grep -q -e "$1" "$2" || problem "no line matches: $1"
}

# wait_for COMMAND...: waits until a command succeeds; ends the test if it does not within a minute.
wait_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ]; then
            command_line="wait for $*"
            problem "it did not happen"
            finish
        fi
        sleep 0.1
    done
}

# Ends the test.
finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
    exit
}
