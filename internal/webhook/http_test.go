package webhook_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/webhook"
)

// eventually polls a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestOverHTTP delivers to a real server, which verifies what it gets and sends
// an endless answer.
func TestOverHTTP(t *testing.T) {
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(secret, r.Header, body, time.Now(), time.Minute)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s: %v", r.Method, err)
		}
		got = append(got, r.Header.Get(webhook.HeaderID))
		_, _ = io.CopyN(w, endless{}, 1<<20)
	}))
	defer server.Close()
	w := hook("w1")
	w.URL = server.URL
	log, store := &fakeLog{}, newStore(w)
	log.post("a", "b", "c")
	deliver(t, store, log, webhook.Config{AllowPrivate: true})
	eventually(t, "the cursor moves", func() bool { return store.get(t, "w1").Cursor == 3 })
	mu.Lock()
	defer mu.Unlock()
	equal(t, got, "w1_7-1 w1_7-2 w1_7-3")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestRedirectsAreNotFollowed: they could lead anywhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer target.Close()
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	w := hook("w1")
	w.URL = server.URL
	log, store := &fakeLog{}, newStore(w)
	log.post("a")
	deliver(t, store, log, webhook.Config{AllowPrivate: true})
	eventually(t, "the failure is recorded", func() bool { return store.get(t, "w1").Failures > 0 })
	if e := store.get(t, "w1").LastError; e != "the receiver answered 307 Temporary Redirect" {
		t.Errorf("recorded %q", e)
	}
}

// TestANameThatResolvesToAPrivateAddressIsRefused when the connection is made:
// nothing about the URL shows it.
func TestANameThatResolvesToAPrivateAddressIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	go func() {
		if c, err := listener.Accept(); err == nil {
			_ = c.Close()
			connected <- struct{}{}
		}
	}()
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	transport := webhook.NewTransport(false, func(string) string { return net.JoinHostPort("127.0.0.1", port) })
	w := hook("w1")
	log, store := &fakeLog{}, newStore(w)
	log.post("a")
	deliver(t, store, log, webhook.Config{Transport: transport})
	eventually(t, "the failure is recorded", func() bool { return store.get(t, "w1").Failures > 0 })
	if e := store.get(t, "w1").LastError; !strings.Contains(e, "127.0.0.1 is private") {
		t.Errorf("recorded %q", e)
	}
	if len(connected) > 0 {
		t.Error("it was connected to")
	}
}

func TestValidateURL(t *testing.T) {
	for _, c := range []struct {
		url             string
		public, private bool // whether it is allowed without and with private addresses
	}{
		{"https://example.com/hook?a=b", true, true},
		{"https://example.com:8443", true, true},
		{"https://93.184.216.34/", true, true},
		{"https://[2606:2800:220:1::1]/", true, true},
		{"http://example.com/", false, true},
		{"http://localhost:8080/", false, true},
		{"https://localhost./", false, true},
		{"https://a.LOCALHOST/", false, true},
		{"https://127.0.0.1/", false, true},
		{"https://10.1.2.3/", false, true},
		{"https://172.16.0.1/", false, true},
		{"https://192.168.1.1/", false, true},
		{"https://100.64.0.1/", false, true},
		{"https://[::1]/", false, true},
		{"https://[fd00::1]/", false, true},
		{"https://[::ffff:127.0.0.1]/", false, true},
		{"https://[64:ff9b::7f00:1]/", false, true},
		{"https://[2002:a00:1::]/", false, true},
		{"https://[::a00:1]/", false, true},
		{"https://0.0.0.0/", false, false},
		{"https://[::]/", false, false},
		{"https://169.254.169.254/latest/meta-data", false, false},
		{"https://[::ffff:169.254.169.254]/", false, false},
		{"https://[64:ff9b::a9fe:a9fe]/", false, false},
		{"https://[fe80::1%25eth0]/", false, false},
		{"https://[fd00:ec2::254]/", false, false},
		{"https://100.100.100.200/", false, false},
		{"https://224.0.0.1/", false, false},
		{"https://255.255.255.255/", false, false},
		{"https://[ff02::1]/", false, false},
		{"ftp://example.com/", false, false},
		{"//example.com/", false, false},
		{"https:///path", false, false},
		{"https://user:pass@example.com/", false, false},
		{"https://example.com/#part", false, false},
		{"https://exa mple.com/", false, false},
		{"", false, false},
		{"https://example.com/" + strings.Repeat("a", 2048), false, false},
	} {
		for allow, want := range map[bool]bool{false: c.public, true: c.private} {
			err := webhook.ValidateURL(c.url, allow)
			if (err == nil) != want || err != nil && rbcs.CodeOf(err) != rbcs.InvalidRequest {
				t.Errorf("%.60s, private allowed %v: got %v", c.url, allow, err)
			}
		}
	}
}
