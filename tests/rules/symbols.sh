#!/bin/sh
# symbols.sh NM LAYER LIBRARY - checks the symbol table of a static library or object file.
# LAYER core, backend or model:
#   every global symbol begins with gi8_ or gi8i_ (core, backend), gptneox_ or gptneoxi_ (model); a
#   mangled name of a backend's C++ is that of such a function, or in an unnamed namespace;
#   nothing ends the process or touches the standard streams;
#   the core uses no files, threads, or environment variables.
# Symbols that begin with two underscores or DW.ref. are the compiler's. Prints what breaks this and
# fails if anything does.
set -u
nm=$1
layer=$2
library=$3
mangled=
case $layer in
core) prefix='gi8i\{0,1\}_' ;;
backend)
    prefix='gi8i\{0,1\}_'
    mangled='\|^_Z[0-9]*gi8i_\|^_ZN[0-9]*_GLOBAL__N_'
    ;;
model) prefix='gptneoxi\{0,1\}_' ;;
*) exit 2 ;;
esac

forbidden='abort exit _exit _Exit quick_exit raise kill system stdin stdout stderr
printf vprintf puts putchar perror __printf_chk __vprintf_chk err errx warn warnx'
core_forbidden='fopen fdopen open open64 read write mmap fork getenv secure_getenv
pthread_create thrd_create syscall'
if [ "$layer" = core ]; then
    forbidden="$forbidden $core_forbidden"
fi

defined=$("$nm" -g -P --defined-only "$library") || exit 2
used=$("$nm" -g -P --undefined-only "$library") || exit 2
found=$(
    echo "$defined" | awk 'NF > 1 {print $1}' | grep -v "^$prefix$mangled" |
        grep -v '^__\|^DW\.ref\.' |
        sed 's/$/ is defined without the prefix/'
    for name in $forbidden; do
        echo "$used" | awk -v name="$name" 'NF > 1 && $1 == name {print name " is used"; exit}'
    done
)
if ! echo "$defined" | grep -q "^$prefix"; then
    found="$found
no symbol has the prefix: is this the right library?"
fi
[ -z "$found" ] && exit 0
echo "$library:"
echo "$found"
exit 1
