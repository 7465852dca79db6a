#!/usr/bin/env bash
# Measures veilturn, coturn and a bare forwarder in turns on this machine, and prints the medians of the ratios:
# `bash benches/compare.sh`, or with `--quick` one short round, to see that it works.
#
# The server under test has one core, the generator (`veilturn bench`) another; everything stays on the loopback
# interface. Needs two cores, python3 and taskset; coturn is installed from Debian where it is missing (root).
#
#   BINARY      veilturn to measure and to measure with [default: built here, with --release]
#   ROUNDS      how often each server has its turn [5; 1 with --quick]
#   SECONDS_EACH  length of a run at a fixed rate [3; 1 with --quick]
#   STEP        length of each step of a search [1s; 300ms with --quick]
#   ROWS        which rows, of allocations allocations-tcp allocations-tls call-audio call-video peer-audio peer-video
#                call-tcp call-tls [all, in this order]
#   SERVER_CORE, GENERATOR_CORE [0, 1]
#   COTURN_THREADS  relay threads of coturn [1]
#   RESULTS     folder that keeps every single result as JSON [none]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=0
[ "${1-}" != --quick ] || quick=1
readonly ROUNDS=${ROUNDS:-$((quick ? 1 : 5))}
readonly SECONDS_EACH=${SECONDS_EACH:-$((quick ? 1 : 3))}
readonly STEP=${STEP:-$([ "$quick" = 1 ] && echo 300ms || echo 1s)}
readonly TRIES=$((quick ? 5 : 18))
readonly ROWS=${ROWS:-allocations allocations-tcp allocations-tls call-audio call-video peer-audio peer-video call-tcp call-tls}
readonly SERVER_CORE=${SERVER_CORE:-0} GENERATOR_CORE=${GENERATOR_CORE:-1}
readonly COTURN_THREADS=${COTURN_THREADS:-1}

work=$(mktemp -d)
servers=()

stop_servers() {
    local pid
    for pid in "${servers[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    servers=()
}

clean_up() {
    stop_servers
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

need() {
    if [ "$(nproc)" -lt 2 ]; then
        echo "two cores are needed: one for the server, one for the generator" >&2
        exit 1
    fi
    if ! command -v turnserver >/dev/null; then
        apt-get -q update >&2
        # RUNLEVEL=1 keeps the package from starting a service.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends coturn >&2
    fi
    if [ -z "${BINARY-}" ]; then
        cargo build --release >&2
        BINARY=$PWD/target/release/veilturn
    fi
}

# A port that nobody has, nor the next three: coturn takes the second as well, the third is for TLS, and coturn takes the
# fourth as well. Like the relayed ports they are below those that the kernel gives out by itself.
free_port() {
    python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(30000, 32000)
    try:
        for taken in range(port, port + 4):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                socket.socket(type=kind).bind(("127.0.0.1", taken))
    except OSError:
        continue
    print(port)
    break
PYTHON
}

# New ones for each round: memory that was given back once is not asked for again.
start_servers() {
    ulimit -n "$(ulimit -Hn)" || true
    head -c 32 /dev/urandom | base64 -w 0 >"$work/secret"
    chmod 600 "$work/secret"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench.test \
        -addext subjectAltName=DNS:bench.test -keyout "$work/key.pem" -out "$work/chain.pem" 2>"$work/openssl.log"
    veilturn_port=$(free_port)
    cat >"$work/veilturn.toml" <<CONFIG
realm = "bench.test"
[[listen]]
addr = "127.0.0.1:$veilturn_port"
[[listen]]
addr = "127.0.0.1:$veilturn_port"
transport = "tcp"
[[listen]]
addr = "127.0.0.1:$((veilturn_port + 2))"
transport = "tls"
[[tls.certificate]]
chain_file = "$work/chain.pem"
key_file = "$work/key.pem"
[relay]
ports = "20000-29999"
ipv4 = { bind = "127.0.0.1", advertise = "127.0.0.1" }
[[auth.secret]]
id = "bench"
value_file = "$work/secret"
[lifetimes]
quarantine = "0s"
[limits]
allocations_per_user = 16384
challenges_per_second = 1000000
[peers]
policy = "public"
allow = ["127.0.0.0/8"]
[log]
level = "warn"
[metrics]
listen = "off"
[runtime]
workers = 1
pin_cpus = false
CONFIG
    taskset -c "$SERVER_CORE" "$BINARY" serve -c "$work/veilturn.toml" >"$work/veilturn.log" 2>&1 &
    veilturn_pid=$!
    servers+=("$veilturn_pid")
    coturn_port=$(free_port)
    taskset -c "$SERVER_CORE" turnserver -n --listening-ip 127.0.0.1 --listening-port "$coturn_port" \
        --relay-ip 127.0.0.1 --min-port 10000 --max-port 19999 --realm bench.test \
        --use-auth-secret --static-auth-secret "$(cat "$work/secret")" \
        --relay-threads "$COTURN_THREADS" --allow-loopback-peers --no-cli --no-dtls --no-tcp-relay \
        --tls-listening-port $((coturn_port + 2)) --cert "$work/chain.pem" --pkey "$work/key.pem" --no-rfc5780 --no-software-attribute --no-stdout-log --simple-log --log-file /dev/null \
        --pidfile "$work/coturn.pid" --userdb "$work/coturn.db" >"$work/coturn.log" 2>&1 &
    coturn_pid=$!
    servers+=("$coturn_pid")
    local port
    for port in "$veilturn_port" "$((veilturn_port + 2))" "$coturn_port" "$((coturn_port + 2))"; do
        until_listened "$port"
    done
}

# Waits, ten seconds at most, until somebody takes connections on a port.
until_listened() {
    local try
    for ((try = 0; try < 100; try++)); do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "nobody listens on port $1" >&2
    cat "$work/veilturn.log" "$work/coturn.log" >&2
    exit 1
}

# Runs the generator against veilturn, coturn or the bare forwarder, with the arguments that follow; the results are
# $work/NAME.json.
bench() {
    local who=$1 name=$2 scenario=$3
    shift 3
    local target=()
    local tls=0
    [[ " $* " != *" --transport tls "* ]] || tls=2
    case $who in
    veilturn) target=(--server "127.0.0.1:$((veilturn_port + tls))" --secret-file "$work/secret" --pid "$veilturn_pid") ;;
    coturn) target=(--server "127.0.0.1:$((coturn_port + tls))" --secret-file "$work/secret" --pid "$coturn_pid") ;;
    bare) target=(--baseline --baseline-cpu "$SERVER_CORE") ;;
    esac
    "$BINARY" bench "$scenario" "${target[@]}" --cpu "$GENERATOR_CORE" --name "$who" --quiet --json "$work/$name.json" "$@" \
        >"$work/last.txt" 2>&1 || {
        cat "$work/last.txt" >&2
        echo "$who failed: $scenario $*" >&2
        exit 1
    }
}

# What the generator is asked for in a row.
row_arguments() {
    case $1 in
    allocations) echo allocations --calls 1000 ;;
    allocations-tcp) echo allocations --calls 1000 --transport tcp ;;
    allocations-tls) echo allocations --calls 1000 --transport tls --insecure ;;
    call-audio) echo call --media audio --calls 100 ;;
    call-video) echo call --media video --calls 10 --gso --gro ;;
    peer-audio) echo peer --media audio --calls 100 ;;
    peer-video) echo peer --media video --calls 10 --gso --gro ;;
    call-tcp) echo call --media video --calls 10 --transport tcp ;;
    call-tls) echo call --media video --calls 10 --transport tls --insecure ;;
    esac
}

# Who has a turn in a row: the bare forwarder knows no streams.
row_servers() {
    case $1 in
    call-tcp | call-tls) echo veilturn coturn ;;
    *) echo veilturn coturn bare ;;
    esac
}

# A number out of a result, times a factor, whole; nothing where there is none.
figure() {
    python3 - "$work/$1.json" "$2" "$3" <<'PYTHON'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    value = value and value.get(key)
if value is not None:
    print(max(int(value * float(sys.argv[3])), 1000))
PYTHON
}

# One round of a row with packets: the highest rates, then the cost at half of what coturn bore in the first round.
packets() {
    local row=$1 round=$2 who start half
    local -a arguments servers_of_row
    read -ra arguments <<<"$(row_arguments "$row")"
    read -ra servers_of_row <<<"$(row_servers "$row")"
    for who in $(in_turn "$round" "${servers_of_row[@]}"); do
        start=20000
        if [ "$round" -gt 1 ]; then
            start=$(figure "$row.saturate.$who.1" result.target_pps 0.7)
        fi
        bench "$who" "$row.saturate.$who.$round" "${arguments[@]}" --saturate --step "$STEP" --tries "$TRIES" \
            --rate "${start:-20000}"
    done
    half=$(figure "$row.saturate.coturn.1" result.delivered_pps 0.5)
    for who in $(in_turn "$round" "${servers_of_row[@]}"); do
        bench "$who" "$row.fixed.$who.$round" "${arguments[@]}" --rate "${half:-10000}" --duration "${SECONDS_EACH}s"
    done
}

# One round of a row with allocations.
allocations() {
    local row=$1 round=$2 who
    local -a arguments
    read -ra arguments <<<"$(row_arguments "$row")"
    for who in $(in_turn "$round" veilturn coturn); do
        bench "$who" "$row.rate.$who.$round" "${arguments[@]}" --duration "${SECONDS_EACH}s"
    done
}

# The names, each round another one first.
in_turn() {
    local round=$1
    shift
    local -a names=("$@")
    local index
    for index in "${!names[@]}"; do
        echo "${names[(index + round) % ${#names[@]}]}"
    done
}

need
for ((round = 1; round <= ROUNDS; round++)); do
    start_servers
    for row in $ROWS; do
        echo "round $round of $ROUNDS: $row" >&2
        case $row in
        allocations*) allocations "$row" "$round" ;;
        *) packets "$row" "$round" ;;
        esac
    done
    stop_servers
done
if [ -n "${RESULTS-}" ]; then
    mkdir -p "$RESULTS"
    cp "$work"/*.*.*.json "$RESULTS/"
fi
python3 benches/compare.py "$work"
