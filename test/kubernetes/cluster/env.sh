# Settings that the scripts here share. Sourced, not run.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCES=$HERE/../binaries
TOOLS=$HERE/../../../tools
# What is built is kept outside of the repository, in a folder of its own for each state of its sources.
CACHE=${RBCS_KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rbcs-kubernetes}
KEY=$(cat "$SOURCES"/go.sum "$TOOLS"/helm/go.sum "$SOURCES"/*/*.go "$HERE/build.sh" | sha256sum | cut -c1-16)
BIN=$CACHE/$KEY/bin
IMAGES=$CACHE/$KEY/images
# All state of the cluster; down removes it.
RUN=${RBCS_KUBERNETES_RUN:-/var/tmp/rbcs-kubernetes}
PKI=$RUN/pki
CONFIGS=$RUN/kubeconfig

LAN=10.89.0                       # the control plane is $LAN.1, node i is $LAN.(10+i)
PODS=10.244                       # the pods of node i are $PODS.i.0/24
SERVICES=10.96
GROUP=/rbcs-kubernetes            # the parent of all control groups: $GROUP/nI
export PATH=$BIN:$PATH

# Timers that are shorter than a cloud's, so that a run takes minutes: see the report. up writes them to $RUN/settings.
NODE_GRACE=${NODE_GRACE:-10s}     # a node that is silent this long is NotReady (Kubernetes: 50s)
TOLERATION=${TOLERATION:-5}       # seconds until its pods are evicted (Kubernetes: 300)
HPA_SYNC=${HPA_SYNC:-5s}          # how often the autoscaler looks (Kubernetes: 15s)
METRICS=${METRICS:-10s}           # how often metrics-server measures (Kubernetes: 15s)
PROXY_MODE=${PROXY_MODE:-iptables}

die() { echo "cluster: $*" >&2; exit 1; }

# within SECONDS COMMAND...: polls until the command succeeds.
within() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}

# init_below PID LEVELS: the descendant of PID that is process 1 of a PID namespace LEVELS deep, by the machine's number.
init_below() {
  local generation child
  for _ in $(seq 200); do
    generation=$1
    for _ in 1 2 3 4; do
      for child in $generation; do
        [ "$(awk '/^NSpid/{print NF-1, $NF}' "/proc/$child/status" 2>/dev/null)" != "$2 1" ] || { echo "$child"; return; }
      done
      generation=$(for child in $generation; do cat "/proc/$child/task/$child/children" 2>/dev/null || true; done)
    done
    sleep 0.05
  done
  echo "the namespaces did not start" >&2; return 1
}

# supervise NAME COMMAND...: runs it again whenever it ends, as an init system would; logs to $LOGS.
supervise() {
  local name=$1; shift
  (while :; do "$@" >>"$LOGS/$name.log" 2>&1 & echo $! >"$LOGS/$name.pid"; wait; sleep 0.5; done) &
}

control_plane() { cat "$RUN/control-plane.init" 2>/dev/null; }
node() { cat "$RUN/$1.init" 2>/dev/null; }
in_lan() { nsenter -t "$(control_plane)" -n -- "$@"; }   # in the cluster's network
kubectl() { in_lan "$BIN/kubectl" --kubeconfig "$CONFIGS/admin.conf" "$@"; }
