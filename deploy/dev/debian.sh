#!/bin/sh
# Installs the servers that the tests of `make test-all` run against, as packages of Debian 12. Needs root.
# No package here is started as a system service: the tests start servers of their own, on free ports.
set -eu
# Java and Maven for Kafka; PostgreSQL; Prometheus (promtool with it) and Alertmanager; a browser with a font.
packages="openjdk-17-jre-headless maven postgresql-15 prometheus prometheus-alertmanager chromium fonts-dejavu-core"
# kubectl renders deploy/k8s. Where one is there already (often not Debian's), it is left alone.
command -v kubectl >/dev/null || packages="$packages kubernetes-client"
missing=
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Needs root: sudo apt-get install --no-install-recommends$missing" >&2
    exit 2
  fi
  # Debian starts a service when its package is installed; policy-rc.d answers "not allowed", as in a container's build.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get -q update
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing
fi
echo "installed:$(for package in $packages; do dpkg-query -W -f ' ${Package} ${Version}' "$package" 2>/dev/null || true; done)"
"$(dirname "$0")/kafka/kafka.sh" fetch
echo "installed: Apache Kafka (jars in .cache/kafka)"
