//go:build !linux

package postgres

import "syscall"

// setUserTimeout leaves it to the operating system when data without an
// acknowledgement end a connection.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
