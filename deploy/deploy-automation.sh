#!/usr/bin/env bash
# Installs vinops on a Debian server, from this checkout. Safe to run again: what is up to date stays, and an interrupted
# run is finished by the next one. Secrets go through pipes and files for root only: never on a command line, never into
# the output.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: deploy-automation.sh [options]        as root, from a checkout of vinops

  --dry-run            report each step, change nothing
  --credentials FILE   read NAME=value lines: secrets, and settings that are none, with the names of .env.example.
                       FILE must be for root only. Without it missing secrets are asked for where there is a terminal.
  --upgrade            back up, stop, install this version, migrate, start again
  --no-backup          with --upgrade: do not back up first
  --uninstall          stop and remove the services and the program; data, logs, secrets and the database stay
  --embedded           use the embedded PostgreSQL instead of the system's
  --web                the site too: vinops-web.service on 127.0.0.1:8080; deploy/caddy/Caddyfile puts TLS in front
  --bot                the bot of the alerts too: vinops-watch.service; it needs TELEGRAM_BOT_TOKEN
  --node               a scrapyd node, too; on a machine without vinops a scrapyd node and nothing else
  --venv-from DIR      copy vinops' virtual environment instead of installing the lock from the package index
  --no-start           install all, start nothing
  --help
TEXT
}

dry_run='' upgrade='' backup=yes uninstall='' embedded='' node='' only_node='' web='' bot=''
credentials_file='' venv_from='' start=yes
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=yes ;;
    --credentials) credentials_file=${2:?--credentials needs a file} && shift ;;
    --upgrade) upgrade=yes ;;
    --no-backup) backup='' ;;
    --uninstall) uninstall=yes ;;
    --embedded) embedded=yes ;;
    --web) web=yes ;;
    --bot) bot=yes ;;
    --node) node=yes ;;
    --venv-from) venv_from=${2:?--venv-from needs a folder} && shift ;;
    --no-start) start='' ;;
    --help | -h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
program=/opt/vinops
venvs=/opt/vinops-venvs
node_venv=/opt/vinops-scrapyd
data=/var/data/vinops
logs=/var/log/vinops
etc=/etc/vinops
store=$etc/credentials
units=/etc/systemd/system
python=$program/.venv/bin/python
vinops=$program/.venv/bin/vinops
interpreter=${PYTHON:-/usr/bin/python3}
redis=/etc/redis
redis_port=6379

# Roles and databases are made on this machine's own PostgreSQL, whatever server the shell of the operator is set to.
unset "${!PG@}"

# A machine that was set up as a node stays one in every later run, until it is uninstalled.
[ -z "$node" ] || [ -x "$vinops" ] || only_node=yes
[ ! -e "$etc/.node" ] || only_node=yes
[ ! -e "$node_venv" ] || node=yes
# So does one with the site, and one with the bot.
[ ! -e "$etc/.web" ] || web=yes
[ ! -e "$etc/.bot" ] || bot=yes
node=${only_node:-$node}

packages=(python3 python3-venv ca-certificates dbus chromium logrotate)
[ -n "$only_node" ] || packages+=(redis-server)
[ -n "$only_node$embedded" ] || packages+=(postgresql)

roles=(owner etl photos market deals ops retention backup node web watch)
long_runners=(vinops-celery.service vinops-celery-beat.service vinops-supervisor.service vinops-metrics.service)
timers=(vinops-etl.timer vinops-photo-scraper.timer vinops-health.timer vinops-backup.timer vinops-retention.timer)
workers=(vinops-worker@1.service vinops-worker@2.service vinops-worker@3.service vinops-worker@4.service)
# The fifth follows the makes of the import deals, where an operator enabled it: it is stopped with the others.
if systemctl is-enabled --quiet vinops-worker@5.service 2>/dev/null; then workers+=(vinops-worker@5.service); fi
targets=(vinops-workers.target)
[ -z "$web" ] || long_runners+=(vinops-web.service)
[ -z "$bot" ] || long_runners+=(vinops-watch.service)
[ -z "$only_node" ] || long_runners=() timers=() workers=() targets=()
[ -z "$node" ] || long_runners+=(vinops-scrapyd.service)

step() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { printf 'deploy-automation.sh: %s\n' "$*" >&2 && exit 1; }

# Runs a command, or prints it. Its arguments are shown: they must contain no secret.
run() {
    if [ -n "$dry_run" ]; then
        printf '   would run: %s\n' "$*"
    else
        "$@"
    fi
}

at_exit() {
    local code=$?
    [ "$code" -eq 0 ] || printf 'deploy-automation.sh: stopped with exit code %s: fix the cause shown above, and run it again\n' "$code" >&2
}
trap at_exit EXIT

[ "$(id -u)" -eq 0 ] || [ -n "$dry_run" ] || fail "run it as root"
[ -d /run/systemd/system ] || [ -n "$dry_run" ] || fail "systemd does not run this machine: deploy/cron/vinops.cron is for those"
umask 022

# --- Existing state ---------------------------------------------------------------------------------------------------

secret_names() { # UNIT…: the variables that these units load as credentials, except the addresses of the database
    sed -n 's/^LoadCredential=\([A-Z0-9_]*\):.*/\1/p' "$@" | sort -u | grep -v '^DATABASE_URL$'
}

wanted_secrets() { # those that the services of this machine can use
    local files=("$checkout"/deploy/systemd/*.service)
    if [ -n "$only_node" ]; then
        files=("$checkout/deploy/systemd/vinops-scrapyd.service")
    elif [ -z "$node" ]; then
        mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -v '/vinops-scrapyd\.service$')
    fi
    secret_names "${files[@]}"
}

is_set() { # NAME: is there a credential
    [ -f "$store/$1" ] || [ -f "$store.encrypted/$1" ]
}

set_credential() { # NAME, value on standard input
    if [ -n "$dry_run" ]; then
        cat >/dev/null
        note "would set the credential $1"
    else
        "$vinops" credentials set "$1" 2>&1 | sed 's/^/   /'
    fi
}

nearest_name() { # NAME KNOWN…: the known name that was most likely meant
    local given=$1
    shift
    printf '%s\n' "$@" | awk -v given="$given" '
        function least(a, b) { return a < b ? a : b }
        function distance(a, b,    i, j, cost, was, now) { # signs to change, to add and to leave out
            for (j = 0; j <= length(b); j++) was[j] = j
            for (i = 1; i <= length(a); i++) {
                now[0] = i
                for (j = 1; j <= length(b); j++) {
                    cost = substr(a, i, 1) != substr(b, j, 1)
                    now[j] = least(was[j - 1] + cost, least(was[j], now[j - 1]) + 1)
                }
                for (j = 0; j <= length(b); j++) was[j] = now[j]
            }
            return was[length(b)]
        }
        {
            far = distance(given, $0)
            if (index($0, given)) far = 0
            if (best == "" || far < closest) { best = $0; closest = far }
        }
        END { print best }'
}

given_names=() given_values=()
read_credentials_file() { # fills given_names and given_values; nothing is changed before the whole file is parsed
    local name value line number=0 known
    mapfile -t known < <(sed -n 's/^\([A-Z][A-Z0-9_]*\)=.*/\1/p' "$checkout/.env.example")
    known+=("${roles[@]/#/DATABASE_URL.}")
    [ -f "$credentials_file" ] || fail "$credentials_file is no file"
    [ "$(stat -c %a "$credentials_file")" = 600 ] || [ "$(stat -c %a "$credentials_file")" = 400 ] ||
        fail "others may read $credentials_file: chmod 600 $credentials_file"
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        # As editors of other systems write it.
        [ "$number" -gt 1 ] || line=${line#$'\xef\xbb\xbf'}
        line=${line%$'\r'}
        case $line in '' | '#'*) continue ;; esac
        name=${line%%=*} value=${line#*=}
        [[ $line == *=* && $name =~ ^[A-Z][A-Z0-9_]*(\.[a-z]+)?$ ]] ||
            fail "$credentials_file line $number is not NAME=value"
        case " ${known[*]} " in
        *" $name "*) ;;
        *) fail "$credentials_file line $number: $name is no name of .env.example; the nearest is $(nearest_name "$name" "${known[@]}")" ;;
        esac
        value=${value%%[[:space:]]#*} # a comment, as in .env
        value=${value#"${value%%[![:space:]]*}"}
        value=${value%"${value##*[![:space:]]}"}
        [ -z "$value" ] || given_names+=("$name") given_values+=("$value")
    done <"$credentials_file"
}

# --- Steps -----------------------------------------------------------------------------------------------------------

install_packages() {
    step "packages"
    local missing=() package
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        note "all installed: ${packages[*]}"
        return
    fi
    note "to be installed: ${missing[*]}"
    run apt-get update -qq
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

make_user() {
    step "user"
    if getent passwd vinops >/dev/null; then
        note "the user vinops exists"
    else
        run useradd --system --user-group --home-dir "$data" --no-create-home --shell /usr/sbin/nologin vinops
    fi
}

make_folders() {
    step "folders"
    run install -d -m 755 "$(dirname "$data")"
    run install -d -m 750 -o vinops -g vinops "$data" "$data/run" "$logs"
    run install -d -m 755 "$etc"
    run install -d -m 700 -o root -g root "$store" "$store.encrypted"
    [ -z "$only_node" ] || run touch "$etc/.node"
    note "$data $logs $etc"
    if [ ! -e "$etc/vinops.env" ] && [ -z "$dry_run" ]; then
        cat >"$etc/vinops.env" <<'TEXT'
# Settings of vinops that are no secrets, for all services: NAME=value, as in /opt/vinops/.env.example.
# Secrets are set by `vinops credentials set NAME`. Services read this when they start.
CHROMIUM_PATH=/usr/bin/chromium
TEXT
    fi
    if [ -e "$etc/vinops.env" ]; then
        # systemd reads it, as root. A secret may stand in it by mistake.
        run chmod 640 "$etc/vinops.env"
    else
        note "would write $etc/vinops.env"
    fi
}

lock_hash() { # LOCK…
    { cat "$@"; "$interpreter" --version; } | sha256sum | cut -c 1-16
}

install_lock() { # FOLDER LOCK…: a virtual environment with what is locked
    local folder=$1 lock arguments=()
    shift
    for lock in "$@"; do arguments+=(-r "$lock"); done
    note "from the hash-pinned lock: takes a minute or two"
    run "$interpreter" -m venv "$folder"
    # --no-deps: the lock is complete.
    run "$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --require-hashes "${arguments[@]}"
}

make_venv() {
    step "virtual environment"
    venv=$venvs/$(lock_hash "$checkout/requirements.txt")
    if [ -e "$venv/.complete" ]; then
        note "$venv is up to date with the lock"
        return
    fi
    "$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$interpreter is older than 3.11: name another in PYTHON"
    case $(realpath "$interpreter") in
    /home/* | /root/*) fail "$interpreter is in a home, which services do not see: name another in PYTHON" ;;
    esac
    run install -d -m 755 "$venvs"
    run rm -rf "$venv"
    if [ -n "$venv_from" ]; then
        note "copied from $venv_from"
        run cp -a "$venv_from" "$venv"
        run chown -R root:root "$venv"
        if [ -z "$dry_run" ]; then
            local minor
            minor=$("$interpreter" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
            [ -d "$venv/lib/$minor" ] || fail "$venv_from is not of $minor, which $interpreter is"
            # The lock has packages for some patch releases only, as async-timeout before 3.11.3.
            [ "$("$venv_from/bin/python" --version 2>&1)" = "$("$interpreter" --version 2>&1)" ] ||
                note "created by $("$venv_from/bin/python" --version 2>&1) but run by $("$interpreter" --version 2>&1): a package may be missing"
            rm -f "$venv"/bin/python*
            "$interpreter" -m venv --without-pip "$venv"
            find "$venv"/lib/python3*/site-packages -maxdepth 1 -iname '*vinops*' -exec rm -rf {} +
        fi
    else
        install_lock "$venv" "$checkout/requirements.txt"
    fi
    [ -z "$dry_run" ] || return 0
    # The program is found by its path: there is nothing to build, and an upgrade moves another folder into place.
    local packages_folder
    packages_folder=$(echo "$venv"/lib/python3*/site-packages)
    printf '%s\n' "$program" >"$packages_folder/vinops-program.pth"
    printf '#!%s\nimport sys\n\nfrom ops.cli import main\n\nsys.exit(main())\n' "$python" >"$venv/bin/vinops"
    chmod 755 "$venv/bin/vinops"
    : >"$venv/.complete"
}

copy_program() {
    step "program"
    note "$checkout to $program"
    if [ -n "$dry_run" ]; then
        note "would copy all but .git, var, logs, .venv, .env and caches, and link logs to $logs"
        return
    fi
    [ "$checkout" != "$program" ] || fail "run it from a checkout, not from $program"
    rm -rf "$program.new"
    mkdir -m 755 "$program.new"
    tar -C "$checkout" --exclude=./.git --exclude=./var --exclude=./logs --exclude=./.venv --exclude=./.env --exclude='.*_cache' \
        --exclude=.hypothesis --exclude=__pycache__ --exclude='*.egg-info' -cf - . | tar -C "$program.new" --no-same-owner -xf -
    chmod -R u=rwX,go=rX "$program.new"
    ln -s "$venv" "$program.new/.venv"
    ln -s "$logs" "$program.new/logs"
    # Compiled once: services may not write here.
    "$venv/bin/python" -m compileall -q -s "$program.new" -p "$program" "$program.new"/{vinops,etl,vinops_scrapy,deals,ops,web} || true
    if [ -d "$program" ] && diff -rq --no-dereference --exclude=__pycache__ "$program" "$program.new" >/dev/null; then
        rm -rf "$program.new"
        note "this version is installed"
        return
    fi
    [ ! -d "$program" ] || [ -n "$upgrade" ] || fail "another version is installed: run it with --upgrade"
    rm -rf "$program.old"
    [ ! -e "$program" ] || mv "$program" "$program.old"
    mv "$program.new" "$program"
    [ ! -e "$program.old" ] || note "the previous version is in $program.old"
}

make_node() {
    step "node"
    local locks=("$checkout/requirements.txt" "$checkout/deploy/scrapyd/requirements.txt") folder
    folder=$venvs/scrapyd-$(lock_hash "${locks[@]}")
    run install -d -m 750 -o vinops -g vinops "$data/scrapyd"
    run install -d -m 755 /etc/scrapyd /etc/scrapyd/conf.d
    run install -m 644 "$checkout/deploy/scrapyd/scrapyd.conf" /etc/scrapyd/scrapyd.conf
    # Without vinops, whose code comes as an egg: an installed one would run instead of it.
    if [ -e "$folder/.complete" ]; then
        note "$folder is up to date with the locks"
    else
        run rm -rf "$folder"
        install_lock "$folder" "${locks[@]}"
        run touch "$folder/.complete"
    fi
    run ln -sfn "$folder" "$node_venv"
}

install_units() {
    step "units"
    local path name old
    for path in "$units"/vinops-*; do
        [ -f "$path" ] && [ ! -e "$checkout/deploy/systemd/$(basename "$path")" ] && run rm -f "$path"
    done
    for path in "$checkout"/deploy/systemd/*; do
        name=$(basename "$path")
        if [ -d "$path" ]; then
            run install -d -m 755 "$units/$name"
            run install -m 644 "$path"/*.conf "$units/$name/"
        else
            run install -m 644 "$path" "$units/$name"
        fi
    done
    # The hardening is ours; a drop-in of an earlier version that no longer exists here is removed there too.
    for old in "$units"/vinops-*.d/[12]0-*.conf; do
        [ -e "$old" ] && [ ! -e "$checkout/deploy/systemd/${old#"$units"/}" ] && run rm -f "$old"
    done
    run install -m 644 "$checkout/deploy/logrotate/vinops" /etc/logrotate.d/vinops
    run install -m 755 "$checkout/deploy/vinops-operator.sh" /usr/local/bin/vinops
    if [ -z "$dry_run" ]; then
        "$vinops" credentials apply >/dev/null
        systemctl daemon-reload
    fi
    note "in $units; the command vinops in /usr/local/bin"
}

read_credentials() {
    step "credentials"
    local name value secrets
    secrets=" $(secret_names "$checkout"/deploy/systemd/*.service | tr '\n' ' ')"
    if [ -n "$credentials_file" ]; then
        local place
        for place in "${!given_names[@]}"; do
            name=${given_names[place]} value=${given_values[place]}
            case "$secrets DATABASE_URL " in
            *" ${name%%.*} "*) printf '%s' "$value" | set_credential "$name" ;;
            *) set_setting "$name" "$value" ;;
            esac
        done
        note "read from $credentials_file: remove it when everything works (shred -u)"
    elif [ -t 0 ] && [ -z "$dry_run" ]; then
        for name in $(wanted_secrets); do
            is_set "$name" && continue
            [ "$name" != CELERY_BROKER_URL ] || continue
            read -rsp "   $name (not shown; Enter to leave it out): " value
            printf '\n'
            [ -z "$value" ] || printf '%s' "$value" | set_credential "$name"
        done
    else
        note "not asking: there is no terminal, and no --credentials FILE"
    fi
    for name in $(wanted_secrets); do
        is_set "$name" || note "not set: $name  (vinops credentials set $name)"
    done
}

set_setting() { # NAME VALUE, for settings that are not secret
    if [ -n "$dry_run" ]; then
        note "would set $1 in $etc/vinops.env"
        return
    fi
    local part=$etc/vinops.env.part
    rm -f "$part"
    (umask 077 && { grep -v "^$1=" "$etc/vinops.env" || true; printf '%s=%s\n' "$1" "$2"; } >"$part")
    chmod 640 "$part"
    mv "$part" "$etc/vinops.env"
    note "$1 is set in $etc/vinops.env"
}

as_postgres() { # a script on standard input, run by the superuser of the system's PostgreSQL in a database
    runuser -u postgres -- psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$1" >/dev/null
}

is_system_database() { # we create the roles of this machine's PostgreSQL, unless the owner's address points elsewhere
    [ -z "$embedded" ] && { [ -e "$etc/.system-database" ] || ! is_set DATABASE_URL.owner; }
}

prepare_database() {
    step "database"
    local role password
    if [ -n "$only_node" ]; then
        note "elsewhere: DATABASE_URL.node is for the crawls, DATABASE_URL.ops for alerts and the operator"
        for role in node ops; do
            is_set "DATABASE_URL.$role" || [ -n "$dry_run" ] ||
                fail "DATABASE_URL.$role is not set: put it into the file of --credentials, as docs/scaling.md says"
        done
        return
    fi
    if [ -n "$embedded" ]; then
        note "embedded, in $data/postgres: one account for all services"
        # One unit runs the server, where set to nothing means the embedded one; the others know it by its socket.
        if [ -z "$dry_run" ]; then
            umask 077
            printf '\n' >"$store/DATABASE_URL.embedded"
            for role in "${roles[@]}"; do
                printf 'postgresql://vinops@/vinops?host=%s\n' "$data/postgres/run" >"$store/DATABASE_URL.$role"
            done
            umask 022
        fi
        run systemctl enable --quiet --now vinops-database.service
        return
    fi
    if ! is_system_database; then
        note "elsewhere: DATABASE_URL.owner is set; create roles and rights there with deploy/sql/roles.sql and grants.sql"
        [ -z "$node" ] || is_set DATABASE_URL.node ||
            note "not set: DATABASE_URL.node  (vinops credentials set DATABASE_URL.node)"
        return
    fi
    run systemctl enable --quiet --now postgresql.service
    if [ -n "$dry_run" ]; then
        note "would create the database vinops, the roles ${roles[*]/#/vinops_}, and a password for each"
        return
    fi
    local tries
    for tries in $(seq 60); do
        runuser -u postgres -- psql --no-psqlrc -qtc 'select 1' >/dev/null 2>&1 && break
        [ "$tries" -lt 60 ] || fail "PostgreSQL does not answer: systemctl status 'postgresql*'"
        sleep 0.5
    done
    as_postgres postgres <"$checkout/deploy/sql/roles.sql"
    : >"$etc/.system-database"
    for role in "${roles[@]}"; do
        if is_set "DATABASE_URL.$role"; then
            continue
        fi
        password=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
        # If it fails, the statement with the password is not logged.
        printf "set log_min_error_statement = panic; set log_statement = none; set log_min_duration_statement = -1; alter role vinops_%s password '%s';\n" \
            "$role" "$password" | as_postgres postgres
        printf 'postgresql://vinops_%s:%s@127.0.0.1:5432/vinops' "$role" "$password" | set_credential "DATABASE_URL.$role"
    done
    password=''
    if ! runuser -u postgres -- psql --no-psqlrc -qtAc "select 1 from pg_database where datname = 'vinops'" | grep -q 1; then
        echo 'create database vinops owner vinops_owner encoding utf8 template template0;' | as_postgres postgres
    fi
    note "vinops, with a role for each service"
}

open_broker=redis://127.0.0.1:$redis_port/0 # what this script set before it gave Redis a password

is_open_broker() { # is CELERY_BROKER_URL the one without a password
    "$program/.venv/bin/python" -c '
import sys
from ops.credentials import Store, read
sys.exit(read(Store(), "CELERY_BROKER_URL").strip() != sys.argv[1])' "$open_broker" 2>/dev/null
}

prepare_broker() {
    step "broker"
    run systemctl enable --quiet --now redis-server.service
    if is_set CELERY_BROKER_URL && { [ -n "$dry_run" ] || ! is_open_broker; }; then
        note "CELERY_BROKER_URL is set"
        return
    fi
    if [ -n "$dry_run" ]; then
        note "would give Redis a password, in $redis/vinops.conf, and set the credential CELERY_BROKER_URL"
        return
    fi
    if [ ! -e "$redis/vinops.conf" ] && ! is_set CELERY_BROKER_URL; then
        # One that answers without a password and is empty has no other users that a password would lock out.
        [ "$(redis-cli -p "$redis_port" dbsize 2>&1)" = 0 ] ||
            fail "the Redis of this machine is used by others: name it, or another one, in the file of --credentials: CELERY_BROKER_URL=redis://:PASSWORD@HOST:6379/0"
    fi
    protect_redis
    note "Redis has a password, in $redis/vinops.conf: other accounts of this machine cannot send tasks"
}

protect_redis() { # If interrupted, the next run finishes it, with the password in the file.
    local password
    if ! grep -q '^requirepass .' "$redis/vinops.conf" 2>/dev/null; then
        password=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
        install -m 640 -o redis -g redis /dev/null "$redis/vinops.conf.part"
        printf '# Written by vinops, and known to the credential CELERY_BROKER_URL.\nrequirepass %s\n' "$password" >"$redis/vinops.conf.part"
        mv "$redis/vinops.conf.part" "$redis/vinops.conf"
    fi
    password=$(sed -n 's/^requirepass //p' "$redis/vinops.conf")
    grep -qxF "include $redis/vinops.conf" "$redis/redis.conf" ||
        printf '\ninclude %s\n' "$redis/vinops.conf" >>"$redis/redis.conf"
    systemctl restart redis-server.service
    printf 'redis://:%s@127.0.0.1:%s/0' "$password" "$redis_port" | set_credential CELERY_BROKER_URL
    # Running services know the address without the password.
    local users
    mapfile -t users < <(grep -l '^LoadCredential=CELERY_BROKER_URL:' "$checkout"/deploy/systemd/vinops-*.service)
    systemctl try-restart "${users[@]##*/}"
}

migrate() {
    step "migrations"
    run systemctl start vinops-migrate.service
    if is_system_database && [ -z "$dry_run" ]; then
        as_postgres vinops <"$checkout/deploy/sql/grants.sql"
        note "the schema is current, and each role has the rights that its service needs"
    fi
}

take_backup() {
    step "backup, before anything changes"
    if [ -z "$backup" ]; then
        note "skipped, as requested"
    else
        run systemctl start vinops-backup.service
        note "in $data/backups"
    fi
}

stop_all() {
    step "stop"
    # First the services that start others; then those with work in progress, each with the time it needs to release it.
    [ -z "$node" ] || run systemctl stop vinops-scrapyd.service
    [ -z "$only_node" ] || return 0
    run systemctl stop "${timers[@]}"
    [ -z "$web" ] || run systemctl stop vinops-web.service
    [ -z "$bot" ] || run systemctl stop vinops-watch.service
    run systemctl stop vinops-supervisor.service vinops-celery-beat.service
    run systemctl stop "${targets[@]}" "${workers[@]}" vinops-photo-scraper.service vinops-etl.service
    run systemctl stop vinops-celery.service vinops-metrics.service vinops-health.service vinops-retention.service
    # A dump in progress holds locks that a migration would wait for.
    run systemctl stop vinops-backup.service vinops-migrate.service
}

running() { # PATTERN…: the units that run, start or stop
    systemctl list-units --plain --no-legend --state=active,activating,reloading,deactivating "$@" | cut -d ' ' -f 1
}

wait_for_alerts() { # those of services that failed while they were stopped, too: they run the program that is replaced
    [ -z "$dry_run" ] || return 0
    local alerts=('vinops-alert@*' 'vinops-recovered@*' 'vinops-up@*') tries
    for tries in $(seq 260); do # their units end them after two minutes
        [ -n "$(running "${alerts[@]}")" ] || return 0
        [ "$tries" -gt 1 ] || note "waiting for the alerts in progress"
        sleep 0.5
    done
    systemctl stop "${alerts[@]}"
}

stop_rest() { # what is left: the database, alerts. One that fails while it is stopped starts one more alert.
    run systemctl stop 'vinops-*' || true
    [ -z "$dry_run" ] || return 0
    local left tries
    for tries in 1 2 3 4 5; do
        mapfile -t left < <(running 'vinops-*')
        [ ${#left[@]} -gt 0 ] || return 0
        systemctl stop "${left[@]}" || true
    done
    note "still running: ${left[*]}"
}

start_all() {
    step "start"
    if [ -z "$start" ]; then
        note "nothing, as requested"
        return
    fi
    [ -n "$dry_run" ] || systemctl reset-failed 'vinops-*' 2>/dev/null || true
    run systemctl enable --quiet "${long_runners[@]}" "${targets[@]}" "${workers[@]}" "${timers[@]}"
    # First the services that take work, then those that dispatch it.
    [ -z "$node" ] || run systemctl start --no-block vinops-scrapyd.service
    [ -z "$only_node" ] || return 0
    run systemctl start --no-block vinops-celery.service vinops-celery-beat.service vinops-metrics.service
    if [ -n "$web" ]; then
        run touch "$etc/.web"
        run systemctl start --no-block vinops-web.service
        note "the site is on 127.0.0.1:8080: vinops users add NAME --role operator; deploy/caddy/Caddyfile for others"
    fi
    if [ -n "$bot" ]; then
        run touch "$etc/.bot"
        run systemctl start --no-block vinops-watch.service
        note "vinops watch invite makes an invitation to the bot"
    fi
    run systemctl start --no-block "${targets[@]}"
    run systemctl start --no-block vinops-supervisor.service
    run systemctl start "${timers[@]}"
    note "systemctl list-timers 'vinops-*' shows the schedule; systemctl status 'vinops-*' the state"
}

look() {
    step "doctor"
    run /usr/local/bin/vinops doctor || note "doctor exits with $?: fix the problems that it lists"
    [ -z "$only_node" ] || return 0
    step "health"
    run /usr/local/bin/vinops health || note "health exits with $?: on a new system nothing has run yet"
}

remove_all() {
    stop_all || true
    step "uninstall"
    run systemctl disable --quiet vinops-database.service "${long_runners[@]}" "${targets[@]}" "${workers[@]}" \
        "${timers[@]}" || true
    stop_rest
    local path
    for path in "$units"/vinops-*; do
        [ ! -e "$path" ] || run rm -rf "$path"
    done
    run systemctl daemon-reload
    [ -n "$dry_run" ] || systemctl reset-failed 'vinops-*' 2>/dev/null || true
    run rm -rf "$program" "$program.old" "$program.new" "$venvs" "$node_venv"
    run rm -f /usr/local/bin/vinops /etc/logrotate.d/vinops
    run rm -f "$etc/.web" "$etc/.bot"
    [ -z "$node" ] || run rm -f "$etc/.node" /etc/scrapyd/scrapyd.conf
    note "kept: $data, $logs, $etc with its secrets, the user vinops, the database and its roles, the password of Redis"
    note "to remove those too: rm -rf $data $logs $etc; userdel vinops; as postgres: dropdb vinops"
}

# --- Main -------------------------------------------------------------------------------------------------------

if [ -n "$uninstall" ]; then
    remove_all
    exit 0
fi
[ -z "$credentials_file" ] || read_credentials_file
if [ -n "$upgrade" ]; then
    [ -x "$vinops" ] || [ -n "$dry_run" ] || fail "there is nothing to upgrade: run it without --upgrade"
    [ -n "$only_node" ] || take_backup
fi
install_packages
make_user
make_folders
make_venv
if [ -n "$upgrade" ]; then
    stop_all
    wait_for_alerts
fi
copy_program
[ -z "$node" ] || make_node
install_units
read_credentials
prepare_database
if [ -z "$only_node" ]; then
    prepare_broker
    migrate
fi
start_all
look
step "done"
