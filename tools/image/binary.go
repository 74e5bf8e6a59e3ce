package main

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

// platform is a binary and what it runs on.
type platform struct {
	architecture string
	binary       []byte
}

// architectures are the names of Go and OCI for those of ELF.
var architectures = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}

// readBinary reads a binary that runs in an image with nothing else in it.
func readBinary(path string) (platform, error) {
	file, err := elf.Open(path)
	if err != nil {
		return platform{}, fmt.Errorf("%s is no binary for Linux: %w", path, err)
	}
	defer func() { _ = file.Close() }() // it was only read
	architecture, ok := architectures[file.Machine]
	if !ok {
		return platform{}, fmt.Errorf("%s is for %v; build it for GOARCH=amd64 or arm64", path, file.Machine)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			return platform{}, fmt.Errorf("%s needs a dynamic linker, which the image does not have: build it with CGO_ENABLED=0", path)
		}
	}
	binary, err := os.ReadFile(path)
	return platform{architecture, binary}, err
}

// fullName completes the name of an image, as Docker and containerd do, and returns
// its tag beside it.
func fullName(name string) (reference, tag string, err error) {
	repository, tag, ok := cutLast(name, ":")
	if !ok || strings.Contains(tag, "/") {
		repository, tag = name, "latest"
	}
	if repository == "" || tag == "" || strings.ContainsAny(name, " @") || repository != strings.ToLower(repository) {
		return "", "", fmt.Errorf("-name %q: write NAME:TAG, such as rbcs:v1 or registry.example.com/rbcs:v1", name)
	}
	switch first, _, nested := strings.Cut(repository, "/"); {
	case !nested:
		repository = "docker.io/library/" + repository
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		repository = "docker.io/" + repository
	}
	return repository + ":" + tag, tag, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
