#!/usr/bin/env bash
# Installs the Debian packages that the cluster's nodes consist of, where they are missing, and starts none of their services.
set -euo pipefail
missing=()
for want in containerd:containerd runc:runc iptables:iptables nft:nftables conntrack:conntrack ipset:ipset ip:iproute2 unshare:util-linux openssl:openssl; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${want%%:*}" >/dev/null || missing+=("${want#*:}")
done
[ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "the cluster needs ${missing[*]} (Debian's names): install them first" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
