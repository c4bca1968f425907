#!/usr/bin/env bash
# One Kafka broker (KRaft, no password, loopback only) for development and tests.
#
#   kafka.sh fetch           get the jars from Maven Central into .cache/kafka (once)
#   kafka.sh start           start it in the background and wait until it is ready; prints the bootstrap address
#   kafka.sh stop            stop it; what it holds stays
#   kafka.sh run             in the foreground
#
# KAFKA_PORT (29092; the next port is the controller's) and KAFKA_DATA (.cache/kafka/data) choose another one.
# KAFKA_PROXY_PORT: it listens on the port after the controller's too, and says there that it is to be found at this one.
# KAFKA_OPTIONS: further lines of its configuration.
# Needs Java 17 and Maven: Debian's openjdk-17-jre-headless and maven. Exit code 2 says what is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
libs=$root/.cache/kafka/libs
port=${KAFKA_PORT:-29092}
data=${KAFKA_DATA:-$root/.cache/kafka/data}
log=$data/broker.log

storage() {
  java -cp "$libs/*" kafka.tools.StorageTool "$@"
}

fetch() {
  [ "$libs/.fetched" -nt "$here/pom.xml" ] && return
  for needed in java mvn; do
    if ! command -v "$needed" >/dev/null; then
      echo "$needed is missing. On Debian 12: make deps-debian (openjdk-17-jre-headless, maven)" >&2
      exit 2
    fi
  done
  mkdir -p "$(dirname "$libs")"
  exec 9>"$(dirname "$libs")/.lock" # one at a time: another may be fetching just now
  flock 9
  if [ ! "$libs/.fetched" -nt "$here/pom.xml" ]; then
    rm -rf "$libs"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" -DincludeScope=runtime >&2
    touch "$libs/.fetched"
  fi
  exec 9>&-
}

prepare() { # the broker's configuration, and once its storage
  mkdir -p "$data"
  local listen="" advertise=""
  if [ -n "${KAFKA_PROXY_PORT:-}" ]; then
    listen=",PROXIED://127.0.0.1:$((port + 2))"
    advertise=",PROXIED://127.0.0.1:$KAFKA_PROXY_PORT"
  fi
  cat >"$data/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))$listen
advertised.listeners=PLAINTEXT://127.0.0.1:$port$advertise
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/log
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
${KAFKA_OPTIONS:-}
CONF
  if [ ! -f "$data/log/meta.properties" ]; then
    storage format -t "$(storage random-uuid)" -c "$data/server.properties" >"$data/format.log" 2>&1 ||
      { cat "$data/format.log" >&2; exit 1; }
  fi
}

broker() {
  exec java -Xmx512m -Dlog4j2.configurationFile="file:$here/log4j2.yaml" -cp "$libs/*" kafka.Kafka "$data/server.properties"
}

running() { # whether the process of the pid file is this broker, not a later one of the same number
  [ -f "$data/pid" ] && tr '\0' ' ' <"/proc/$(cat "$data/pid")/cmdline" 2>/dev/null | grep -q "$data/server.properties"
}

start() {
  if running; then echo "127.0.0.1:$port"; return; fi
  fetch
  prepare
  : >"$log"
  # A session of its own: a Ctrl-C for the caller is none for the broker.
  setsid "$0" broker >>"$log" 2>&1 </dev/null &
  echo $! >"$data/pid"
  for _ in $(seq 600); do
    if grep -q 'Kafka Server started' "$log"; then echo "127.0.0.1:$port"; return; fi
    if ! running && ! kill -0 "$(cat "$data/pid")" 2>/dev/null; then break; fi
    sleep 0.1
  done
  tail -n 20 "$log" >&2
  echo "Kafka did not start on 127.0.0.1:$port; its log: $log" >&2
  stop
  exit 1
}

stop() {
  [ -f "$data/pid" ] || return 0
  pid=$(cat "$data/pid")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$data/pid"
}

case "${1:-}" in
  fetch) fetch;;
  start) start;;
  stop) stop;;
  run) fetch; prepare; broker;;
  broker) broker;; # how `start` calls itself
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2;;
esac
