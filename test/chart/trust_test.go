package chart

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMountedAuthoritiesAreTrusted: the folder that the chart mounts, with the links
// in it that the kubelet makes, is one that Go reads certificates from.
func TestMountedAuthoritiesAreTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "reached", http.StatusTeapot)
	}))
	defer server.Close()
	mount := t.TempDir()
	if err := os.Mkdir(filepath.Join(mount, "..2026"), 0o700); err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(mount, "..2026", "ca.pem"), certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"..data": "..2026", "ca.pem": "..data/ca.pem"} {
		if err := os.Symlink(target, filepath.Join(mount, link)); err != nil {
			t.Fatal(err)
		}
	}
	for folder, trusted := range map[string]bool{mount: true, t.TempDir(): false} {
		call := exec.Command(built(t), "account", "get", "a", "--url", server.URL)
		call.Env = append(os.Environ(), "SSL_CERT_DIR="+folder)
		out, err := call.CombinedOutput()
		if err == nil {
			t.Fatalf("the server is no service, and answered: %s", out)
		}
		if unknown := strings.Contains(string(out), "certificate"); unknown == trusted {
			t.Errorf("with %s: %s", folder, out)
		}
	}
}
