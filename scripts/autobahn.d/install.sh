# Installs the Autobahn suite. Sourced by scripts/autobahn, never run.

# The last release of virtualenv that makes environments for CPython 2.7.
virtualenv_version=20.21.1

# Whether the suite is installed in folder $1, in the versions wanted now.
suite_is_installed() {
    [ -x "$1/bin/wstest" ] && cmp -s scripts/autobahn.d/requirements.txt "$1/requirements.txt"
}

# Prints the path of a CPython 2.7, or fails.
find_python27() {
    local candidate
    for candidate in "${PYTHON27:-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if is_python27 "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Whether $1 is a CPython 2.7. One that pyenv only stands in for is none.
is_python27() {
    [ -n "$1" ] && "$1" -c '
import platform, sys
sys.exit(platform.python_implementation() != "CPython" or sys.version_info[:2] != (2, 7))' 2>/dev/null
}

# Installs the suite into folder $1 for the interpreter $2.
install_suite() {
    local suite=$1 python27=$2 tools
    echo "installing for $("$python27" --version 2>&1) at $python27"
    mkdir -p "$suite"
    # Only this script uses virtualenv: it goes away again.
    tools=$suite.tools
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "virtualenv==$virtualenv_version"
    "$tools/bin/virtualenv" --quiet --clear --no-periodic-update --python "$python27" "$suite"
    rm -rf "$tools"
    # Twisted and klein need `incremental` while they are built, and pip builds all before it installs any.
    suite_pip "$suite" "$(grep '^incremental==' scripts/autobahn.d/requirements.txt)"
    suite_pip "$suite" --requirement scripts/autobahn.d/requirements.txt
    suite_pip "$suite" --requirement scripts/autobahn.d/requirements-speed.txt ||
        echo "going on without the two packages that make the suite faster"
    "$suite/bin/wstest" --help >/dev/null
    cp scripts/autobahn.d/requirements.txt "$suite/requirements.txt"
}

# Installs packages as they are listed, without dependencies, built by what is in the suite's environment.
suite_pip() {
    local suite=$1
    shift
    PYTHONWARNINGS=ignore "$suite/bin/python" -W ignore -m pip install --quiet --disable-pip-version-check \
        --no-python-version-warning --no-deps --no-build-isolation "$@"
}
