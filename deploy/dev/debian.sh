#!/bin/sh
# Installs the servers that the tests of `make test-all` run against, as packages of Debian 12. Needs root.
# No package here is started as a system service: the tests start servers of their own, on free ports.
set -eu
# Java and Maven for Kafka; PostgreSQL; Prometheus (promtool with it) and Alertmanager; a browser with a font.
packages="openjdk-17-jre-headless maven postgresql-15 prometheus prometheus-alertmanager chromium fonts-dejavu-core"
# Kustomize is built from source: Debian has none. A Go that is there already is as good as Debian's.
kustomize=v5.0.3 # builds with Debian's Go 1.19
command -v go >/dev/null || packages="$packages golang-go"
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
bin=$(cd "$(dirname "$0")/../.." && pwd)/.cache/bin
if [ "$("$bin/kustomize" version 2>/dev/null || true)" != "$kustomize" ]; then
  GOBIN=$bin GOTOOLCHAIN=local go install -ldflags "-X sigs.k8s.io/kustomize/api/provenance.version=$kustomize" \
    "sigs.k8s.io/kustomize/kustomize/v5@$kustomize"
fi
echo "installed: kustomize $kustomize (.cache/bin)"
