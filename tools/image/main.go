// Command image packs static binaries of rbcs into an OCI image archive, with
// nothing but Go: no Docker, no registry, no root.
//
//	go -C tools/image run . -name rbcs:v1 -output dist/rbcs.tar bin/rbcs
//	ctr --namespace k8s.io images import dist/rbcs.tar
//	docker load --input dist/rbcs.tar
//
// Several binaries, one for each architecture, make one image of several platforms.
// The same binaries give the same bytes: nothing in the archive depends on the
// clock, the folder or the user.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "image:", err)
		}
		os.Exit(1)
	}
}

// run packs what the arguments name and prints the image's digest.
func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: image [-name NAME:TAG] [-version VERSION] [-ca FILE] -output FILE BINARY…")
		flags.PrintDefaults()
	}
	name := flags.String("name", "rbcs:dev", "`NAME:TAG` under which the image is imported; without a registry it is docker.io/library/NAME")
	version := flags.String("version", "", "`VERSION` for the image's label (the tag)")
	certificates := flags.String("ca", "", "`FILE` with the certificates of public authorities, in PEM (where this machine has it)")
	output := flags.String("output", "", "archive to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 || *output == "" {
		flags.Usage()
		return errors.New("name an -output and at least one binary")
	}
	roots, err := readRoots(*certificates)
	if err != nil {
		return err
	}
	reference, tag, err := fullName(*name)
	if err != nil {
		return err
	}
	var platforms []platform
	for _, path := range flags.Args() {
		p, err := readBinary(path)
		if err != nil {
			return err
		}
		platforms = append(platforms, p)
	}
	archive, digest, err := pack(platforms, roots, reference, cmp.Or(*version, tag))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*output), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(*output, archive, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s@%s\n", reference, digest)
	return nil
}

// where the certificates of public authorities are: on Debian, Fedora and Alpine.
var where = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// readRoots returns the certificates to put into the image. Without them it could
// not check whom it talks to: webhooks, managed databases, the cloud's tokens.
func readRoots(path string) ([]byte, error) {
	if path != "" {
		return os.ReadFile(path)
	}
	for _, path := range where {
		if text, err := os.ReadFile(path); err == nil {
			return text, nil
		}
	}
	return nil, errors.New("this machine has no certificates of public authorities: name a file of them with -ca, or install ca-certificates")
}
