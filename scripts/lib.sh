# What the scripts of this repository share. Sourced, never run.

# Says what comes next.
step() {
    printf '\n==> %s\n' "$*"
}

# Whether there is a command of that name.
have() {
    command -v "$1" >/dev/null 2>&1
}

# Makes a build possible: links the system's OpenSSL where it has headers, which saves building one (a choice already
# made in OPENSSL_NO_VENDOR is respected); else installs what building OpenSSL needs.
prepare_build() {
    if [ -z "${OPENSSL_NO_VENDOR:-}" ] && have pkg-config && pkg-config --exists 'openssl >= 1.1.1'; then
        export OPENSSL_NO_VENDOR=1
    fi
    if [ "${OPENSSL_NO_VENDOR:-0}" != 0 ]; then
        echo "OpenSSL: the system's"
        return
    fi
    echo "OpenSSL: built from source"
    local missing=()
    perl -MFindBin -MIPC::Cmd -MTime::Piece -e 1 2>/dev/null || missing+=(perl)
    have make || missing+=(make)
    install_packages ${missing[@]+"${missing[@]}"}
}

# Installs the interpreters and the browser of the interoperability tests.
prepare_interop() {
    local missing=()
    have python3 || missing+=(python3)
    # Debian and Ubuntu ship the module that makes virtual environments on its own.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    have node || missing+=(nodejs)
    have npm || missing+=(npm)
    # Debian's package; 118 MiB to download, 25 packages with what it needs. Where apt-get has it as a snap only, as on
    # Ubuntu, install Google Chrome instead.
    have_chromium || missing+=(chromium)
    install_packages ${missing[@]+"${missing[@]}"}
}

# Installs the server that tests of NATS start, each one of its own. Where systemd runs, the package also starts a service at
# port 4222, which nothing here needs: `systemctl disable --now nats-server` ends it.
prepare_nats() {
    local program="${EVENTFLUX_NATS_SERVER:-}"
    if [ -n "$program" ]; then
        have "$program" || { echo "error: EVENTFLUX_NATS_SERVER=$program is no program" >&2; exit 1; }
    # Debian puts it where users other than root do not look.
    elif ! have nats-server && [ ! -x /usr/sbin/nats-server ]; then
        install_packages nats-server
    fi
}

# Whether there is a browser that the interoperability tests can use, and not just a stub that would install one.
have_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if "$name" --version >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

# Installs the Python packages of the interoperability tests into tests/.venv, again when their versions change.
prepare_python_packages() {
    if ! cmp -s tests/requirements.txt tests/.venv/requirements.txt; then
        python3 -m venv --clear tests/.venv
        tests/.venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
        cp tests/requirements.txt tests/.venv/requirements.txt
    fi
}

# Installs the Node packages of the interoperability tests into tests/node_modules, again when their versions change.
prepare_node_packages() {
    if ! cmp -s tests/package-lock.json tests/node_modules/package-lock.json; then
        npm ci --prefix tests --no-audit --no-fund --loglevel=error
        cp tests/package-lock.json tests/node_modules/package-lock.json
    fi
}

# Installs system packages by name. Without root or apt-get, says what to install.
install_packages() {
    if [ "$#" -eq 0 ]; then
        return
    fi
    echo "missing: $*"
    if ! have apt-get || [ "$(id -u)" -ne 0 ]; then
        echo "error: install these with your package manager (or run this as root where apt-get exists): $*" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}
