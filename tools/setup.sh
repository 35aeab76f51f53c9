# shellcheck shell=bash
# setup.sh - sourced by quickstart.sh and test.sh: packages, and steps that are quiet unless they
# fail. Defines need_packages, need_sysroot, step and build_jobs; goes to the root of the
# repository.
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

# packages_for PURPOSE...: what packages.txt lists for the purposes.
packages_for() {
    local purposes=" $* " package purpose
    while read -r package purpose; do
        case $package in '' | '#'*) continue ;; esac
        if [[ $purposes == *" $purpose "* ]]; then
            echo "$package"
        fi
    done <packages.txt
}

# need_packages PURPOSE...: installs what packages.txt lists for the purposes and is missing. Where
# that is impossible it says what is missing and goes on.
need_packages() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is no Debian: packages.txt lists what has to be there." >&2
        return 0
    fi
    for package in $(packages_for "$@"); do
        is_installed "$package" || missing+=("$package")
    done
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

# need_sysroot ARCHITECTURE FOLDER PURPOSE: unpacks packages of another Debian architecture into
# FOLDER, from the sources that apt knows. Nothing is installed, and apt's lists stay as they are.
# FOLDER/complete says what is there.
need_sysroot() {
    local architecture=$1 folder=$PWD/$2 wanted package
    local packages=$folder/packages
    wanted=$(packages_for "$3")
    [ "$(cat "$folder/complete" 2>/dev/null)" != "$wanted" ] || return 0
    rm -rf "$folder"
    mkdir -p "$packages/lists/partial" "$packages/archives/partial"
    local apt=(apt-get -q -o "APT::Architecture=$architecture" -o "APT::Sandbox::User=root"
        -o "APT::Architectures=$architecture" -o "Dir::State::Lists=$packages/lists"
        -o "Dir::Cache=$packages")
    step "Updating the list of packages for $architecture" "${apt[@]}" update || true
    for package in $wanted; do
        step "Downloading $package for $architecture" \
            env -C "$packages" "${apt[@]}" download "$package" || return
    done
    for package in "$packages"/*.deb; do
        dpkg-deb -x "$package" "$folder" || return
    done
    rm -r "$packages"
    echo "$wanted" >"$folder/complete"
}

# How many compilers to run at once.
build_jobs() {
    nproc 2>/dev/null || echo 2
}
