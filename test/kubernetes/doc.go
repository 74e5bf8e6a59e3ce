// Package kubernetes tests the service on a real Kubernetes: its chart, installed with helm on a cluster of three
// nodes that runs on this machine, with PostgreSQL and Redis beside it, and load on it all the time.
//
//	./run                                  what is needed, the cluster, the suite, the report, and nothing left behind
//	go test -tags kubernetes -v -timeout 40m   the same for who built it already (cluster/cluster build)
//
// The suite runs inside the network of node n1, from where the addresses of Services are reached as kube-proxy
// makes them: the test binary starts the cluster and then itself again in that network.
package kubernetes
