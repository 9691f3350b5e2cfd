# Sourced by the scripts beside it, which act on their checkout, whatever the current folder: .env is its .env, relative
# paths begin there. In /opt/vinops, and in a checkout that was installed from but not set up, `vinops` is the operator's
# command, which has the secrets of the services.
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
operators=/usr/local/bin/vinops
if [ -x .venv/bin/vinops ] && { [ "$PWD" != /opt/vinops ] || [ ! -x "$operators" ]; }; then
    PATH="$PWD/.venv/bin:$PATH"
elif [ -x "$operators" ]; then
    PATH="${operators%/*}:$PATH"
elif ! command -v vinops >/dev/null; then
    echo "$0: $PWD is not set up: run \`make setup\` there" >&2
    exit 1
fi
