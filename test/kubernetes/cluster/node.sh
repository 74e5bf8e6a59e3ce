#!/usr/bin/env bash
# node.sh I: process 1 of a node's namespaces, started by "cluster node up I": containerd, kubelet, kube-proxy,
# and the firewall that enforces NetworkPolicies.
set -u
. "$(dirname "$0")/env.sh"
I=$1 NAME=n$1 DIR=$RUN/n$1 LOGS=$RUN/n$1/logs
hostname "$NAME"

# Views of its own: /sys of this network (with the machine's control groups), /run, /var/log, /var/lib.
mkdir -p "$DIR"/{groups,lib/upper,lib/work,containerd,kubelet,log,logs,cni}
mount --rbind /sys/fs/cgroup "$DIR/groups" && mount -t sysfs sysfs /sys && mount --rbind "$DIR/groups" /sys/fs/cgroup && umount -l "$DIR/groups"
mount -t tmpfs tmpfs /run; mkdir -p /run/lock /run/sysctl
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$DIR/lib/upper,workdir=$DIR/lib/work" /var/lib
mkdir -p /var/lib/containerd /var/lib/kubelet /var/lib/cni
mount --bind "$DIR/containerd" /var/lib/containerd; mount --bind "$DIR/kubelet" /var/lib/kubelet; mount --bind "$DIR/log" /var/log
mount --make-rshared /
# The kubelet sets these for the whole machine. It finds files that hold what it wants, so that the machine's stay as they are.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
  file=/run/sysctl/$(basename "${setting%=*}"); echo "${setting#*=}" >"$file"; mount --bind "$file" "/proc/sys/${setting%=*}"
done

# Network: eth0, moved in by "cluster node up", and routes to the pods of the other nodes.
ip link set lo up
within 10 ip link show eth0
ip addr add $LAN.$((10 + I))/24 dev eth0; ip link set eth0 up; ip route add default via $LAN.1
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
for j in $(seq 1 9); do [ "$j" = "$I" ] || ip route add $PODS.$j.0/24 via $LAN.$((10 + j)); done

# The parent of its pods' control groups: in every hierarchy (version 1) or in the one there is (version 2).
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup$GROUP/$NAME"
else
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do mkdir -p "/sys/fs/cgroup/$controller$GROUP/$NAME"; done
  for parent in $GROUP "$GROUP/$NAME"; do
    for file in cpus mems; do cat "/sys/fs/cgroup/cpuset/cpuset.$file" >"/sys/fs/cgroup/cpuset$parent/cpuset.$file"; done
  done
fi

plugin=io.containerd.grpc.v1.cri
cat >"$DIR/containerd.toml" <<T
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."$plugin"]
  sandbox_image = "docker.io/local/pause:1"
  restrict_oom_score_adj = true   # without CAP_SYS_RESOURCE a score cannot be lowered
  [plugins."$plugin".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."$plugin".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."$plugin".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."$plugin".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$DIR/cni"
T
cat >"$DIR/cni/10-bridge.conflist" <<T
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS.$I.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
T
# Each node sees the whole machine. A quarter of its memory is what a node offers; its processors are shared by all.
memory=$(($(awk '/MemTotal/{print $2}' /proc/meminfo) * 3 / 4))
cat >"$DIR/kubelet.yaml" <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$NAME.crt
tlsPrivateKeyFile: $PKI/$NAME.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: $GROUP/$NAME
failCgroupV1: false
failSwapOn: false
clusterDNS: ["$SERVICES.0.10"]
clusterDomain: cluster.local
resolvConf: /dev/null
nodeLeaseDurationSeconds: 8
nodeStatusUpdateFrequency: 2s
syncFrequency: 10s
systemReserved: {memory: ${memory}Ki}
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
oomScoreAdj: 0
volumePluginDir: /var/lib/kubelet/volume-plugins
T
cat >"$DIR/proxy.yaml" <<T
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $PROXY_MODE
oomScoreAdj: 0
clusterCIDR: $PODS.0.0/16
hostnameOverride: $NAME
clientConnection: {kubeconfig: $CONFIGS/proxy.conf}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
T
supervise containerd containerd --config "$DIR/containerd.toml"
until ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in "$IMAGES"/*.tar "$RUN"/images/*.tar; do
  [ ! -e "$image" ] || ctr -n k8s.io images import "$image" >>"$LOGS/images.log" 2>&1
done
supervise kube-proxy kube-proxy --config "$DIR/proxy.yaml"
supervise firewall firewall --kubeconfig "$CONFIGS/firewall.conf" --hostname-override "$NAME" --service-cluster-ip-range "$SERVICES.0.0/16"
supervise kubelet kubelet --config "$DIR/kubelet.yaml" --kubeconfig "$CONFIGS/$NAME.conf" --hostname-override "$NAME" --node-ip $LAN.$((10 + I))
while :; do wait; sleep 1; done
