package redis

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rbcs"
)

func TestURLs(t *testing.T) {
	o, err := clientOptions("rediss://user:pass@one:7000?addr=two:7001&master_set=m&sentinel_username=su&sentinel_password=sp&dial_timeout=3s&write_timeout=4s")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.InitAddress, []string{"one:7000", "two:7001"}) || o.Username != "user" || o.Password != "pass" {
		t.Errorf("the options are %v %q %q", o.InitAddress, o.Username, o.Password)
	}
	if s := o.Sentinel; s.MasterSet != "m" || s.Username != "su" || s.Password != "sp" || s.TLSConfig == nil || s.TopologyRefreshInterval == 0 {
		t.Errorf("the options of Sentinels are %+v", s)
	}
	if o.TLSConfig == nil || o.Dialer.Timeout != 3*time.Second || o.ConnWriteTimeout != 4*time.Second {
		t.Errorf("TLS %v, timeouts %v and %v", o.TLSConfig, o.Dialer.Timeout, o.ConnWriteTimeout)
	}
	if !o.DisableRetry || !o.DisableCache {
		t.Error("the client may send commands again, or keep a cache of its own")
	}
}

func TestBadURLsDoNotShowTheirPassword(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"redis://user:secret@host:port", "redis://user:secret%zz@host", "http://user:secret@host", "redis://user:secret@host/secret",
		"redis://user:secret@host/0/secret", "redis://h?dial_timeout=secret", ":secret@host",
		"redis://user:secret@host?ca_file=" + empty, "rediss://user:secret@host?ca_file=" + empty, "rediss://user:secret@host?ca_file=/none",
	} {
		_, err := Open(t.Context(), url, Options{Store: newFakeStore(), Control: newFakeStore()})
		if rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("%s: the error is %v, want %s", url, err, rbcs.InvalidRequest)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no store":      {Control: newFakeStore()},
		"no control":    {Store: newFakeStore()},
		"negative time": {Store: newFakeStore(), Control: newFakeStore(), Timeout: -1},
	} {
		if _, err := Open(t.Context(), "redis://localhost", o); rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("%s: the error is %v, want %s", name, err, rbcs.InvalidRequest)
		}
	}
}
