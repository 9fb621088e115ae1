#!/bin/sh
# Runs the test suite of kazoo, the Python client, against `shardarium serve`: one server, then three that are
# stopped and started. Prints what passed, what failed, and what was left out and why.
#
#   tests/kazoo/run.sh [standalone|ensemble] [pytest options]
#
# SHARDARIUM   the binary; default: target/release/shardarium, built if it is missing
# KAZOO_HOME   where kazoo and its environment are kept; default: target/kazoo
# KAZOO_PORT   the first of the ports used; default: 22181
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
binary=${SHARDARIUM:-$root/target/release/shardarium}
home=${KAZOO_HOME:-$root/target/kazoo}
port=${KAZOO_PORT:-22181}
version=2.11.0
# The password of the superuser in kazoo's tests is `test`.
super=super:D/InIHSb7yEEbrWz8b9l71RjZJU=

which=both
case "${1:-}" in standalone | ensemble) which=$1; shift ;; esac

[ -x "$binary" ] || (cd "$root" && cargo build --release)
if [ ! -d "$home/kazoo-$version" ]; then
    mkdir -p "$home"
    python3 -m venv "$home/venv"
    "$home/venv/bin/pip" --quiet download --no-binary :all: --no-deps --dest "$home" "kazoo==$version"
    # The wheel has no tests.
    "$home/venv/bin/pip" --quiet install pytest pytest-timeout pyjks pyopenssl objgraph mock gevent eventlet \
        pure_sasl setuptools
    tar -xzf "$home/kazoo-$version.tar.gz" -C "$home"
fi

served=
end() {
    [ -n "$served" ] || return 0
    kill -INT "$served" 2> /dev/null || true
    wait "$served" || true
    served=
}
trap end EXIT INT TERM

# run NAME HOSTS ORDERS [pytest options]
run() {
    name=$1 hosts=$2 orders=$3
    shift 3
    (
        cd "$home/kazoo-$version"
        PYTHONPATH=$here:. SERVED_HOSTS=$hosts SERVED_CONTROL=$orders SERVED_RESULT=$home/$name.json \
            "$home/venv/bin/python" -m pytest -p served -o log_cli=false -q --no-header --tb=short \
            --timeout 120 -p no:cacheprovider "$@" kazoo/tests > "$home/$name.log" 2>&1
    ) || true
    "$home/venv/bin/python" "$here/tell.py" "$name" "$home/$name.json"
}

# serve OPTIONS: starts the servers and waits until the first of them serves.
serve() {
    end
    "$binary" serve --zookeeper "127.0.0.1:$port" --4lw '*' --max-client-connections 0 --super-digest "$super" \
        "$@" < /dev/null > "$home/serve.log" 2>&1 &
    served=$!
    for _ in $(seq 100); do
        "$home/venv/bin/python" - "$port" << 'EOF' && return 0
import socket, sys
try:
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)
    connection.settimeout(2)
    connection.sendall(b"srvr")
    sys.exit(b"Mode:" not in connection.recv(4096))
except OSError:
    sys.exit(1)
EOF
        sleep 0.1
    done
    cat "$home/serve.log" >&2
    exit 1
}

status=0
if [ $which != ensemble ]; then
    serve
    # eventlet and gevent run the tests of the client once more; sasl needs a provider that is not served;
    # read-only mode needs servers that stop.
    run standalone "127.0.0.1:$port" '' --deselect kazoo/tests/test_client.py::TestReconfig \
        --deselect kazoo/tests/test_connection.py::TestReadOnlyMode \
        --ignore kazoo/tests/test_eventlet_handler.py --ignore kazoo/tests/test_gevent_handler.py \
        --ignore kazoo/tests/test_sasl.py "$@" || status=1
fi
if [ $which != standalone ]; then
    control=127.0.0.1:$((port + 9))
    hosts="127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))"
    options="--servers 3 --reconfig --read-only --extended-types --control $control"
    # Local sessions do not survive the stop of their server, which other tests want them to; the test of
    # read-only mode wants one that a server without a quorum knows.
    serve $options
    run ensemble "$hosts" "$binary control $control {order} {number}" --ignore kazoo/tests/test_sasl.py \
        --deselect kazoo/tests/test_connection.py::TestReadOnlyMode "$@" || status=1
    serve $options --local-sessions upgrading
    run read-only "$hosts" "$binary control $control {order} {number}" \
        -k TestReadOnlyMode "$@" || status=1
fi
exit $status
