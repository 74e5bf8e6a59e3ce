#!/usr/bin/env bash
# Process 1 of the control plane's namespaces, started by "cluster up": the bridge, etcd, the apiserver, controllers,
# metrics-server. When it dies, everything of the cluster does.
set -u
. "$(dirname "$0")/env.sh"
LOGS=$RUN/log
hostname control-plane
ip link set lo up
ip link add br0 type bridge && ip addr add $LAN.1/24 dev br0 && ip link set br0 up
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0
mkdir -p "$RUN/etcd" "$LOGS"; mount -t tmpfs tmpfs "$RUN/etcd" # syncs to a busy disk would make elections

supervise etcd etcd --data-dir "$RUN/etcd/data" --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --log-level warn
supervise apiserver kube-apiserver --advertise-address=$LAN.1 --secure-port=6443 --etcd-servers=http://127.0.0.1:2379 \
  --service-cluster-ip-range=$SERVICES.0.0/16 --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
  --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" --kubelet-certificate-authority="$PKI/ca.crt" \
  --kubelet-preferred-address-types=InternalIP --enable-aggregator-routing=true \
  --requestheader-client-ca-file="$PKI/front.crt" --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
  --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$PKI/front-client.crt" --proxy-client-key-file="$PKI/front-client.key" \
  --default-not-ready-toleration-seconds="$TOLERATION" --default-unreachable-toleration-seconds="$TOLERATION" \
  --shutdown-delay-duration=0s --profiling=false
# The others need the roles that the apiserver makes when it starts, which /readyz waits for.
until "$BIN/kubectl" --kubeconfig "$CONFIGS/admin.conf" get --raw /readyz >/dev/null 2>&1; do sleep 0.2; done
as() { echo "--kubeconfig=$CONFIGS/$1.conf --authentication-kubeconfig=$CONFIGS/$1.conf --authorization-kubeconfig=$CONFIGS/$1.conf"; }
# shellcheck disable=SC2046 # several words are meant
supervise manager kube-controller-manager $(as manager) --use-service-account-credentials --leader-elect=false --profiling=false \
  --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
  --node-monitor-period=1s --node-monitor-grace-period="$NODE_GRACE" --horizontal-pod-autoscaler-sync-period="$HPA_SYNC" \
  --horizontal-pod-autoscaler-cpu-initialization-period=30s --horizontal-pod-autoscaler-initial-readiness-delay=5s
# shellcheck disable=SC2046
supervise scheduler kube-scheduler $(as scheduler) --leader-elect=false --profiling=false
# shellcheck disable=SC2046
supervise metrics metrics-server $(as metrics) --secure-port=4443 --tls-cert-file="$PKI/metrics.crt" --tls-private-key-file="$PKI/metrics.key" \
  --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --metric-resolution="$METRICS" --kubelet-request-timeout=5s
trap : TERM
while :; do wait; sleep 1; done
