#!/bin/sh
# includes.sh ROOT - checks who includes whom, from the #include lines below ROOT:
#   ggml-int8   its own headers, C standard headers
#   backends/*  headers of ggml-int8, its own, C and system headers; backends/cuda those of the CUDA
#               toolkit, too
#   models/*    public headers of ggml-int8, its own, C and system headers, jansson, PCRE2, utf8proc
#   tools       public headers of all three, its own, C and system headers
# Prints each line that breaks this and fails if there is one.
set -u
root=$(cd "$1" && pwd) || exit 2

c_headers='assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal
stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time
uchar wchar wctype'
system_headers="$c_headers arm_neon cpuid dirent fcntl getopt immintrin poll pthread sched strings
termios unistd"
third_party='jansson pcre2 utf8proc'
cuda_headers='cublasLt cuda_bf16 cuda_fp16 cuda_runtime cuda_runtime_api'

# in_list NAME.h LIST
in_list() {
    for word in $2; do
        [ "$1" = "$word.h" ] && return 0
    done
    return 1
}

# is_own COMPONENT FILE NAME: NAME, as FILE of COMPONENT includes it, lies within COMPONENT.
is_own() {
    for folder in "$(dirname "$2")" "$1" "$1/src" "$1/include"; do
        if [ -f "$folder/$3" ]; then
            case $(realpath "$folder/$3") in
            "$1"/*) return 0 ;;
            esac
        fi
    done
    return 1
}

# allowed LAYER COMPONENT FILE NAME: NAME comes with its quotes or angle brackets.
allowed() {
    case $4 in
    '<'*)
        header=${4#<}
        header=${header%>}
        case $1 in
        core) in_list "$header" "$c_headers" ;;
        model)
            in_list "$header" "$system_headers $third_party" ||
                expr "$header" : 'sys/' >/dev/null
            ;;
        cuda) # ptx.cuh is its own, but another one takes its place in the emulation
            in_list "$header" "$system_headers $cuda_headers" || [ "$header" = ptx.cuh ]
            ;;
        *)
            in_list "$header" "$system_headers" || expr "$header" : 'sys/' >/dev/null ||
                expr "$header" : 'linux/' >/dev/null
            ;;
        esac
        ;;
    *)
        header=${4#?}
        header=${header%?}
        is_own "$2" "$3" "$header" && return 0
        case $1:$header in
        backend:ggml-int8/* | cuda:ggml-int8/*) ;;
        model:ggml-int8/gi8_backend_impl.h | tool:ggml-int8/gi8_backend_impl.h) return 1 ;;
        model:ggml-int8/* | tool:ggml-int8/*) ;;
        tool:gptneox.h | tool:gptneox_tokenizer.h | tool:gi8_cpu.h | tool:gi8_cuda.h) ;;
        *) return 1 ;;
        esac
        ;;
    esac
}

# check LAYER COMPONENT
check() {
    [ -d "$2" ] || return 0
    find "$2" -name '*.[ch]' -o -name '*.def' -o -name '*.cu' -o -name '*.cuh' | sort |
    while read -r file; do
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*\([<"][^>"]*[>"]\).*/\1/p' "$file" |
            while read -r name; do
                allowed "$1" "$2" "$file" "$name" ||
                    echo "${file#"$root"/} ($1) must not include $name"
            done
    done
}

found=$(
    check core "$root/ggml-int8"
    for folder in "$root"/backends/*; do
        case $folder in
        */cuda) check cuda "$folder" ;;
        *) check backend "$folder" ;;
        esac
    done
    for folder in "$root"/models/*; do check model "$folder"; done
    check tool "$root/tools"
)
[ -z "$found" ] && exit 0
echo "$found"
exit 1
