#!/usr/bin/env bash
# pki.sh NODES: the authority, certificates and kubeconfigs of the control plane and the nodes.
set -euo pipefail
. "$(dirname "$0")/env.sh"
umask 077
mkdir -p "$PKI" "$CONFIGS"; cd "$PKI"

key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"; }

authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 30 -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# certificate NAME SUBJECT AUTHORITY [NAMES]
certificate() {
  key "$1"
  { echo "keyUsage=digitalSignature,keyEncipherment"; echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"; } >"$1.ext"
  openssl req -new -key "$1.key" -subj "$2" |
    openssl x509 -req -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 30 -out "$1.crt" -extfile "$1.ext" 2>"$1.log" ||
    { cat "$1.log" >&2; return 1; }
}

kubeconfig() {
  cat >"$CONFIGS/$1.conf" <<Y
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$LAN.1:6443", certificate-authority: $PKI/ca.crt}}]
users: [{name: u, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
Y
}

authority ca rbcs-kubernetes-ca
authority front front-proxy-ca
key sa; openssl ec -in sa.key -pubout -out sa.pub 2>sa.log
certificate apiserver /CN=kube-apiserver ca "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$LAN.1,IP:$SERVICES.0.1"
certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client ca
certificate front-client /CN=front-proxy-client front
certificate metrics /CN=system:serviceaccount:kube-system:metrics-server ca "DNS:metrics-server.kube-system.svc,IP:$LAN.1"
certificate admin /O=system:masters/CN=admin ca
certificate manager /CN=system:kube-controller-manager ca
certificate scheduler /CN=system:kube-scheduler ca
certificate proxy /CN=system:kube-proxy ca
certificate firewall /CN=firewall ca
for name in metrics admin manager scheduler proxy firewall; do kubeconfig $name; done
for i in $(seq 1 "$1"); do
  certificate "n$i" "/O=system:nodes/CN=system:node:n$i" ca "DNS:n$i,IP:$LAN.$((10 + i))"
  kubeconfig "n$i"
done
