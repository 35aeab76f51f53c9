# shellcheck shell=bash
# setup.sh - sourced by quickstart.sh and test.sh: packages, and steps that are quiet unless they
# fail. Defines need_packages, step and build_jobs; goes to the root of the repository.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# step WHAT COMMAND...: runs a command, showing its output only if it fails.
step() {
    local what=$1 log status=0
    shift
    log=$(mktemp)
    echo "$what ..." >&2
    "$@" </dev/null >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        echo "$what failed: $* (exit status $status)" >&2
    fi
    rm -f "$log"
    return "$status"
}

is_installed() {
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# need_packages PURPOSE...: installs what packages.txt lists for the purposes and is missing. Where
# that is impossible it says what is missing and goes on.
need_packages() {
    local purposes=" $* " missing=() package purpose
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is no Debian: packages.txt lists what has to be there." >&2
        return 0
    fi
    while read -r package purpose; do
        case $package in '' | '#'*) continue ;; esac
        if [[ $purposes == *" $purpose "* ]] && ! is_installed "$package"; then
            missing+=("$package")
        fi
    done <packages.txt
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        if ! command -v sudo >/dev/null; then
            echo "Missing packages, to be installed as root: ${missing[*]}" >&2
            return 0
        fi
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    step "Updating the list of packages" "${apt[@]}" update || true
    step "Installing ${missing[*]}" "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        echo "Missing packages: ${missing[*]}" >&2
}

# How many compilers to run at once.
build_jobs() {
    nproc 2>/dev/null || echo 2
}
