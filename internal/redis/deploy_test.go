package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"rbcs"
	"rbcs/internal/testenv"
)

// logBuffer keeps what is logged.
type logBuffer struct{ testenv.Log }

func (l *logBuffer) use(o *Options) { o.Logger = slog.New(slog.NewTextHandler(l, nil)) }

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", secret)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestTLS(t *testing.T) {
	certFile, keyFile := certificate(t)
	port := freePort(t)
	testenv.RedisServer(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	url := "rediss://127.0.0.1:" + port
	r := newRig(t, url+"?ca_file="+certFile)
	r.up()

	var logged logBuffer
	untrusting := newRig(t, url, logged.use)
	untrusting.down()
	untrusting.await("the log to say that the certificate is not trusted", func() bool { return strings.Contains(logged.String(), "certificate") })
	newRig(t, url+"?skip_verify=true").up()
}

// TestCluster spreads accounts over three nodes.
func TestCluster(t *testing.T) {
	var nodes [3]rueidis.Client
	var addresses [3]string
	for i := range nodes {
		busPort := freePort(t)
		server := testenv.RedisServer(t, "--cluster-enabled", "yes", "--cluster-port", busPort, "--cluster-node-timeout", "2000")
		addresses[i] = testenv.HostOf(server.URL)
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: addresses[i : i+1], ForceSingleClient: true, DisableCache: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		nodes[i] = client
		do(t, client, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*5461), strconv.Itoa(min(16383, i*5461+5460+i/2)))
		host, port, _ := net.SplitHostPort(addresses[i])
		do(t, nodes[0], "CLUSTER", "MEET", host, port, busPort)
	}
	await(t, "the cluster", func() bool {
		for _, node := range nodes {
			info, err := node.Do(t.Context(), node.B().ClusterInfo().Build()).ToString()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	r := newRig(t, "redis://"+addresses[0]+"?addr="+addresses[1])
	r.up()
	if !r.link.clustered.Load() {
		t.Fatal("the cluster was taken for a single server")
	}
	numbers := make([]string, 300)
	for i := range numbers {
		numbers[i] = "n" + strconv.Itoa(i)
		r.store.set(numbers[i], 1)
	}
	cached := func() (n int) {
		readings, err := r.Balances(t.Context(), numbers)
		if err != nil {
			t.Fatal(err)
		}
		for i := range readings {
			if readings[i].Cached {
				n++
			}
		}
		return n
	}
	await(t, "all to be cached", func() bool { return cached() == len(numbers) })
	m := r.mark(numbers...)
	if !m.Confirmed() {
		t.Fatal("the marks were not confirmed")
	}
	balances := make([]rbcs.Balance, len(numbers))
	for i, number := range numbers {
		r.store.set(number, 2)
		balances[i] = balanceOf(number, 2)
	}
	if n := cached(); n != 0 {
		t.Errorf("%d accounts are served while they are marked", n)
	}
	m.Refresh(balances)
	await(t, "all to be refreshed", func() bool { return cached() == len(numbers) })
	for i, node := range nodes {
		if n, err := node.Do(t.Context(), node.B().Dbsize().Build()).AsInt64(); err != nil || n < 50 {
			t.Errorf("node %d holds %d keys, %v, want about a third of 300", i, n, err)
		}
	}
}

func do(t *testing.T, client rueidis.Client, command ...string) {
	t.Helper()
	if err := client.Do(t.Context(), client.B().Arbitrary(command...).Build()).Error(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// TestSentinel finds the primary through a Sentinel.
func TestSentinel(t *testing.T) {
	server := testenv.RedisServer(t)
	host, port, _ := strings.Cut(testenv.HostOf(server.URL), ":")
	address := startSentinel(t, fmt.Sprintf("sentinel monitor main %s %s 1\n", host, port))
	r := newRig(t, "redis://"+address+"/0?master_set=main")
	r.up()
	if mode := (*r.link.client.Load()).Mode(); mode != rueidis.ClientModeSentinel {
		t.Errorf("the client's mode is %s", mode)
	}
}

func startSentinel(t *testing.T, config string) (address string) {
	t.Helper()
	port := freePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(file, []byte("bind 127.0.0.1\nport "+port+"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "redis-server", file, "--sentinel")
	cmd.Dir = filepath.Dir(file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has ended it
	address = "127.0.0.1:" + port
	await(t, "the Sentinel", func() bool {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, ForceSingleClient: true, DisableCache: true})
		if err != nil {
			return false
		}
		defer client.Close()
		return client.Do(t.Context(), client.B().Arbitrary("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").Build()).Error() == nil
	})
	return address
}
