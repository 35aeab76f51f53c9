#!/bin/sh
# includes_selftest.sh - plants each kind of forbidden #include and asks includes.sh to find it.
set -u
checker=$(dirname "$0")/includes.sh
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0

# A tree that obeys.
mkdir -p "$tree/ggml-int8/src/ops" "$tree/ggml-int8/include/ggml-int8" "$tree/backends/cpu/include" \
    "$tree/backends/gpu" "$tree/models/gptneox" "$tree/models/other" "$tree/tools"
touch "$tree/ggml-int8/include/ggml-int8/gi8.h" "$tree/ggml-int8/include/ggml-int8/gi8_backend_impl.h" \
    "$tree/ggml-int8/src/arena.h" "$tree/backends/cpu/include/gi8_cpu.h" "$tree/backends/cpu/threads.h" \
    "$tree/backends/gpu/gpu.h" "$tree/models/gptneox/gptneox.h" "$tree/models/other/other.h" \
    "$tree/tools/tool.h"
printf '#include "ggml-int8/gi8.h"\n#include "arena.h"\n#include "../arena.h"\n#include <math.h>\n' \
    >"$tree/ggml-int8/src/ops/add.c"
printf '#include "gi8_cpu.h"\n#include "ggml-int8/gi8_backend_impl.h"\n#include <pthread.h>\n' \
    >"$tree/backends/cpu/cpu.c"
printf '#include "gptneox.h"\n#include "ggml-int8/gi8.h"\n#include <jansson.h>\n#include <sys/mman.h>\n' \
    >"$tree/models/gptneox/load.c"
printf '#include "tool.h"\n#include "gptneox.h"\n#include "gi8_cpu.h"\n#include <unistd.h>\n' \
    >"$tree/tools/program.c"
sh "$checker" "$tree" || {
    echo "FAILED: an obedient tree is refused"
    failures=1
}

# planted FILE INCLUDE: the checker names the file and the header.
planted() {
    printf '  #  include %s /* planted */\n' "$2" >"$tree/$1"
    if found=$(sh "$checker" "$tree"); then
        echo "FAILED: $1 may include $2"
        failures=$((failures + 1))
    elif [ "${found#"$1 "*"$2"}" = "$found" ]; then
        echo "FAILED: $1 including $2 is reported as: $found"
        failures=$((failures + 1))
    fi
    rm "$tree/$1"
}

planted ggml-int8/src/bad.c '<pthread.h>'
planted ggml-int8/src/bad.c '<unistd.h>'
planted ggml-int8/src/bad.c '<jansson.h>'
planted ggml-int8/src/bad.h '"gi8_cpu.h"'
planted ggml-int8/src/bad.h '"gptneox.h"'
planted ggml-int8/src/bad.c '"../../backends/cpu/threads.h"'
planted backends/cpu/bad.c '"gptneox.h"'
planted backends/cpu/bad.c '"../../ggml-int8/src/arena.h"'
planted backends/cpu/bad.c '"arena.h"'
planted backends/cpu/bad.c '"../gpu/gpu.h"'
planted backends/cpu/bad.c '<jansson.h>'
planted models/gptneox/bad.c '"gi8_cpu.h"'
planted models/gptneox/bad.h '"../../backends/cpu/threads.h"'
planted models/gptneox/bad.c '"ggml-int8/gi8_backend_impl.h"'
planted models/gptneox/bad.c '"../other/other.h"'
planted models/gptneox/bad.c '"tool.h"'
planted tools/bad.c '"ggml-int8/gi8_backend_impl.h"'
planted tools/bad.c '"threads.h"'
planted tools/bad.c '"arena.h"'
planted tools/bad.c '<jansson.h>'
exit "$failures"
