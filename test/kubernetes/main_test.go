//go:build kubernetes

package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// insideVar is set in the process that runs the tests: the one in the network of n1.
const insideVar = "RBCS_KUBERNETES_INSIDE"

// script is what brings the cluster up and down; see its head.
const script = "./cluster/cluster"

func TestMain(m *testing.M) {
	if targets := os.Getenv(probeVar); targets != "" {
		probe(strings.Split(targets, ","))
		os.Exit(0)
	}
	if os.Getenv(insideVar) != "" {
		os.Exit(m.Run())
	}
	code, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// outside brings the cluster up, runs this program again in its network, and takes the cluster down, also when
// interrupted. A cluster that is up already is used, and left: for who works on the suite.
func outside() (code int, err error) {
	// Who interrupts the tests ends the one inside. This one has to survive it, to clean up.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := attached(script, "build").Run(); err != nil {
		return 0, fmt.Errorf("build the cluster: %w", err)
	}
	settings, err := environment()
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(settings["RUN"]); err != nil {
		defer func() {
			if err := attached(script, "down").Run(); err != nil {
				fmt.Fprintln(os.Stderr, "take the cluster down:", err)
				code = 1
			}
		}()
		if err := attached(script, "up", "3").Run(); err != nil {
			return 0, fmt.Errorf("bring the cluster up: %w", err)
		}
	}
	node, err := os.ReadFile(filepath.Join(settings["RUN"], vantage+".init"))
	if err != nil {
		return 0, fmt.Errorf("there is no cluster: %w", err)
	}
	inside := attached("nsenter", append([]string{"-t", strings.TrimSpace(string(node)), "-n", "--", os.Args[0]}, os.Args[1:]...)...)
	inside.Env = append(os.Environ(), insideVar+"=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the kernel kills the child when this thread ends
	if err := inside.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-interrupted:
			_ = inside.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		case <-ended:
		}
	}()
	_ = inside.Wait() // its state says how it ended
	close(ended)
	if code = inside.ProcessState.ExitCode(); code < 0 { // by a signal
		code = 130
	}
	return code, nil
}

func attached(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

// environment returns the settings of the cluster's scripts.
func environment() (map[string]string, error) {
	out, err := exec.Command(script, "environment").Output()
	if err != nil {
		return nil, fmt.Errorf("%s environment: %w", script, err)
	}
	return pairs(string(out)), nil
}

// pairs reads lines of NAME=VALUE, as a shell writes them.
func pairs(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			all[name] = strings.Trim(value, `"'`)
		}
	}
	return all
}
