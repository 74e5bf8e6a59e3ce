#!/usr/bin/env bash
# Builds Kubernetes, etcd, metrics-server, CoreDNS and their images from Go modules, once for each state of their
# sources: the first time takes about ten minutes on two cores. What is there already is left as it is.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ ! -e "$CACHE/$KEY/complete" ] || exit 0
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"; flock 9
[ ! -e "$CACHE/$KEY/complete" ] || exit 0
mkdir -p "$BIN" "$IMAGES"
cd "$SOURCES"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
names=k8s.io/component-base/version minor=${version#v1.}
echo "building Kubernetes $version into $CACHE (once)" >&2
go build -trimpath -o "$BIN/" -ldflags "-s -w -X $names.gitVersion=$version -X $names.gitMajor=1 -X $names.gitMinor=${minor%%.*}" ./hyper
for program in etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy metrics-server firewall; do
  ln -sf hyper "$BIN/$program"
done
go build -trimpath -ldflags "-s -w" -o "$BIN/" ./coredns ./pause
go -C "$TOOLS/helm" build -trimpath -ldflags "-s -w" -o "$BIN/helm" helm.sh/helm/v4/cmd/helm
for image in pause coredns; do
  go -C "$TOOLS/image" run . -name local/$image:1 -output "$IMAGES/$image.tar" "$BIN/$image" >/dev/null
done
touch "$CACHE/$KEY/complete"
