package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hello is a static binary.
func hello(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"hello\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func readTar(t *testing.T, archive []byte) map[string]*file {
	t.Helper()
	files := map[string]*file{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 0 || header.Uname != "" {
			t.Errorf("%s has the time %v and the owner %q", header.Name, header.ModTime, header.Uname)
		}
		files[header.Name] = &file{header, content}
	}
}

type file struct {
	*tar.Header
	content []byte
}

// layout is an archive as a runtime reads it: every blob is checked by its digest.
type layout map[string]*file

func (l layout) blob(t *testing.T, d descriptor) []byte {
	t.Helper()
	f, ok := l["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
	if !ok {
		t.Fatalf("no blob %s", d.Digest)
	}
	if digestOf(f.content) != d.Digest || len(f.content) != d.Size {
		t.Fatalf("blob %s is not what it is called", d.Digest)
	}
	return f.content
}

func decode[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestImage(t *testing.T) {
	binary := hello(t)
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, []byte("roots"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archives [2][]byte
	var said string
	for i := range archives {
		output := filepath.Join(dir, string(rune('a'+i)), "image.tar")
		var stdout bytes.Buffer
		if err := run([]string{"-name", "acme/rbcs:v1", "-ca", roots, "-output", output, binary}, &stdout, io.Discard); err != nil {
			t.Fatal(err)
		}
		said = stdout.String()
		var err error
		if archives[i], err = os.ReadFile(output); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same binary gave other bytes")
	}

	l := layout(readTar(t, archives[0]))
	if got := string(l["oci-layout"].content); got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("layout %s", got)
	}
	top := decode[index](t, l["index.json"].content)
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/acme/rbcs:v1" {
		t.Fatalf("index %+v", top)
	}
	if want := "docker.io/acme/rbcs:v1@" + top.Manifests[0].Digest + "\n"; said != want {
		t.Errorf("printed %q, want %q", said, want)
	}
	m := decode[manifest](t, l.blob(t, top.Manifests[0]))
	c := decode[config](t, l.blob(t, m.Config))
	if c.Config.User != "65532:65532" || c.Config.Entrypoint[0] != "/rbcs" || c.OS != "linux" || c.Config.Labels["org.opencontainers.image.version"] != "v1" {
		t.Errorf("config %+v", c)
	}
	checkLayer(t, l.blob(t, m.Layers[0]), c.RootFS.DiffIDs[0], binary)
}

// checkLayer unpacks the layer and runs what is in it.
func checkLayer(t *testing.T, packed []byte, diff, binary string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if digestOf(layer) != diff {
		t.Error("the layer is not what the configuration says")
	}
	files := readTar(t, layer)
	if got := string(files["etc/ssl/certs/ca-certificates.crt"].content); got != "roots" {
		t.Errorf("certificates %q", got)
	}
	if data := files["data/"]; data.Uid != user || data.Mode != 0o700 {
		t.Errorf("/data belongs to %d with mode %o", data.Uid, data.Mode)
	}
	for name, f := range files {
		if name != "data/" && (f.Uid != 0 || f.Mode&0o022 != 0) {
			t.Errorf("%s may be changed by others than root", name)
		}
	}
	program := files["rbcs"]
	want, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if program.Mode != 0o755 || !bytes.Equal(program.content, want) {
		t.Errorf("/rbcs has mode %o and %d bytes", program.Mode, len(program.content))
	}
}

// TestSeveralPlatforms make an index of images, whatever their order.
func TestSeveralPlatforms(t *testing.T) {
	amd, arm := platform{"amd64", []byte("a")}, platform{"arm64", []byte("b")}
	archive, digest, err := pack([]platform{amd, arm}, nil, "r/rbcs:v1", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, turned, err := pack([]platform{arm, amd}, nil, "r/rbcs:v1", "v1"); err != nil || turned != digest {
		t.Errorf("in another order it is %s, not %s: %v", turned, digest, err)
	}
	l := layout(readTar(t, archive))
	top := decode[index](t, l["index.json"].content).Manifests[0]
	if top.MediaType != indexType || top.Digest != digest {
		t.Errorf("index %+v", top)
	}
	for i, d := range decode[index](t, l.blob(t, top)).Manifests {
		c := decode[config](t, l.blob(t, decode[manifest](t, l.blob(t, d)).Config))
		if want := []string{"amd64", "arm64"}[i]; d.Platform.Architecture != want || c.Architecture != want {
			t.Errorf("image %d is for %s and says %s", i, d.Platform.Architecture, c.Architecture)
		}
	}
	if _, _, err := pack([]platform{amd, amd}, nil, "r/rbcs:v1", "v1"); err == nil {
		t.Error("two binaries of one architecture were taken")
	}
}

func TestWrongUse(t *testing.T) {
	output := filepath.Join(t.TempDir(), "image.tar")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"at least one binary": {"-output", output},
		"no binary for Linux": {"-ca", text, "-output", output, text},
		"CGO_ENABLED=0":       {"-ca", text, "-output", output, "/bin/sh"},
		"no such file":        {"-ca", text + "x", "-output", output, text},
		"write NAME:TAG":      {"-ca", text, "-name", "Rbcs:v1", "-output", output, text},
	} {
		if err := run(args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v does not say %q", args, err, says)
		}
	}
	if _, err := os.Stat(output); err == nil {
		t.Error("an archive was written")
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"rbcs":                      "docker.io/library/rbcs:latest",
		"rbcs:v1":                   "docker.io/library/rbcs:v1",
		"acme/rbcs:v1":              "docker.io/acme/rbcs:v1",
		"localhost/rbcs:v1":         "localhost/rbcs:v1",
		"registry:5000/rbcs":        "registry:5000/rbcs:latest",
		"registry.example.com/a/b:": "",
	} {
		if got, _, err := fullName(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

// TestDockerfileMakesTheSame: who has Docker gets the same image, built by the Go
// that the module asks for.
func TestDockerfileMakesTheSame(t *testing.T) {
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(module), "\ngo ")
	minor := strings.Join(strings.Split(strings.Fields(version)[0], ".")[:2], ".")
	for _, line := range []string{
		"FROM --platform=$BUILDPLATFORM golang:" + minor + " AS build",
		"    install --directory --owner=65532 --group=65532 --mode=0700 /image/data",
		"FROM scratch", "COPY --from=build /image /", "USER 65532:65532", "WORKDIR /data", "VOLUME /data", "STOPSIGNAL SIGTERM",
		`ENTRYPOINT ["/rbcs"]`, `CMD ["serve", "--listen=:8080"]`,
	} {
		if !strings.Contains(string(dockerfile), line+"\n") {
			t.Errorf("the Dockerfile has no line %s", line)
		}
	}
}

// TestDockerignore leaves out no package that the program is built from.
func TestDockerignore(t *testing.T) {
	ignored, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	packages, err := exec.Command("go", "-C", "../..", "list", "-deps", "./cmd/rbcs").Output()
	if err != nil {
		t.Fatal(err)
	}
	needed, folders := strings.Split(string(packages), "\n"), 0
	for line := range strings.Lines(string(ignored)) {
		if folder := strings.TrimSpace(line); strings.HasPrefix(folder, "internal/") {
			folders++
			if slices.Contains(needed, "rbcs/"+folder) {
				t.Errorf("the program needs %s, which .dockerignore leaves out", folder)
			}
		}
	}
	if folders == 0 || !slices.Contains(needed, "rbcs/internal/engine") {
		t.Errorf("%d folders are left out, of %d packages: nothing was compared", folders, len(needed))
	}
}
