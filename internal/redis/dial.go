package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// dialTimeout bounds one attempt to connect, which is always made in the background.
	dialTimeout = time.Second

	// silence is how long a connection may owe an answer before it is given up.
	silence = time.Second

	// pipelineAlone is from how many commands on a pipeline has a connection of
	// its own, so that no read waits behind the marks of a large batch.
	pipelineAlone = 256

	// flushDelay is how long a connection that has just sent collects further
	// commands. Under load it spares a read two system calls, here and in Redis:
	// a third more reads from two processors (docs/performance.md).
	flushDelay = 250 * time.Microsecond

	// topologyEvery is how often a cluster's or a Sentinel's idea of who is
	// primary is looked at, beside what they tell by themselves.
	topologyEvery = 5 * time.Second
)

// clientOptions reads a URL:
//
//	redis://[user:password@]host:port[/db]     rediss:// is the same with TLS
//	redis://host1:port?addr=host2:port&addr=…  several nodes of a cluster
//	redis://sentinel:port?master_set=NAME      Sentinels; more of them with addr=
//
// A server that says it belongs to a cluster is used as one; one address is
// enough. Parameters beside those of [rueidis.ParseURL]: ca_file (certificates
// to trust instead of the system's), sentinel_username and sentinel_password.
// No error of it contains the URL, which may hold a password.
func clientOptions(rawURL string) (rueidis.ClientOption, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var cause *url.Error // its text quotes the URL
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return rueidis.ClientOption{}, fmt.Errorf("the URL cannot be read (its text is not shown, it may hold a password): %w", withoutQuotes(err))
	}
	o, err := rueidis.ParseURL(rawURL)
	if err != nil {
		return o, withoutQuotes(err)
	}
	q := u.Query()
	if file := q.Get("ca_file"); file != "" {
		if err := trust(&o, file); err != nil {
			return o, err
		}
	}
	o.Sentinel.TLSConfig = o.TLSConfig
	o.Sentinel.Username, o.Sentinel.Password = q.Get("sentinel_username"), q.Get("sentinel_password")
	o.Sentinel.TopologyRefreshInterval = topologyEvery
	o.ClusterOption.ShardsRefreshInterval = topologyEvery
	if o.Dialer.Timeout == 0 {
		o.Dialer.Timeout = dialTimeout
	}
	o.Sentinel.Dialer = o.Dialer
	if o.ConnWriteTimeout == 0 {
		o.ConnWriteTimeout = silence
	}
	o.BlockingPipeline = pipelineAlone
	o.DisableCache = true
	if o.MaxFlushDelay == 0 {
		o.MaxFlushDelay = flushDelay
	}
	// A command is carried out once or not at all, perhaps late: sent again, a
	// lease could come back that was replaced by a mark since.
	o.DisableRetry = true
	return o, nil
}

// trust makes the certificates in a file the only ones that are trusted.
func trust(o *rueidis.ClientOption, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("ca_file: %w", err)
	}
	if o.TLSConfig == nil {
		return errors.New("ca_file needs TLS: begin the URL with rediss://")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("ca_file: there is no certificate in %s", file)
	}
	o.TLSConfig.RootCAs = pool
	o.TLSConfig.MinVersion = tls.VersionTLS12
	return nil
}

// withoutQuotes cuts an error's text before the first thing in it that can be a
// part of a URL: what it quotes, or a path.
func withoutQuotes(err error) error {
	text := err.Error()
	if at := strings.IndexAny(text, `"/`); at >= 0 {
		text = text[:at]
	}
	return errors.New(strings.TrimRight(text, ": "))
}
