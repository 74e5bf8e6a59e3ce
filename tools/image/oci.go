package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Media types of OCI.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// user runs the program: it owns nothing but its folder of data. The chart and the
// Dockerfile have the same number.
const user = 65532

// epoch is the time of everything in the archive, so that it depends on contents only.
var epoch = time.Unix(0, 0).UTC()

// descriptor refers to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *ociPlatform      `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ociPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// manifest is an image of one platform, index one of several.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// config says how the program is run.
type config struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       struct {
		User         string              `json:"User"`
		Entrypoint   []string            `json:"Entrypoint"`
		Cmd          []string            `json:"Cmd"`
		WorkingDir   string              `json:"WorkingDir"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
		Volumes      map[string]struct{} `json:"Volumes"`
		Labels       map[string]string   `json:"Labels"`
		StopSignal   string              `json:"StopSignal"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []history `json:"history"`
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

// blobs are the contents of the archive by their digests.
type blobs map[string][]byte

// add stores a blob and returns what refers to it.
func (b blobs) add(mediaType string, content []byte) descriptor {
	digest := digestOf(content)
	b[digest] = content
	return descriptor{MediaType: mediaType, Digest: digest, Size: len(content)}
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// pack makes the archive and returns the image's digest: that of its manifest, or,
// for several platforms, of their index.
func pack(platforms []platform, roots []byte, reference, version string) (archive []byte, digest string, err error) {
	stored := blobs{}
	var images []descriptor
	for _, p := range platforms {
		if slices.ContainsFunc(images, func(d descriptor) bool { return d.Platform.Architecture == p.architecture }) {
			return nil, "", fmt.Errorf("two binaries are for %s", p.architecture)
		}
		image, err := stored.image(p, roots, version)
		if err != nil {
			return nil, "", err
		}
		images = append(images, image)
	}
	slices.SortFunc(images, func(a, b descriptor) int { return strings.Compare(a.Platform.Architecture, b.Platform.Architecture) })
	top := images[0]
	if len(images) > 1 {
		top = stored.add(indexType, encode(index{2, indexType, images}))
	}
	_, tag, _ := cutLast(reference, ":")
	top.Annotations = map[string]string{
		"io.containerd.image.name":          reference, // ctr and docker load
		"org.opencontainers.image.ref.name": tag,       // skopeo, crane, podman
	}
	archive, err = write(stored, index{2, indexType, []descriptor{top}})
	return archive, top.Digest, err
}

// image stores the image of one platform.
func (b blobs) image(p platform, roots []byte, version string) (descriptor, error) {
	layer, err := layerOf(p.binary, roots)
	if err != nil {
		return descriptor{}, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return descriptor{}, err
	}
	if _, err := z.Write(layer); err != nil {
		return descriptor{}, err
	}
	if err := z.Close(); err != nil {
		return descriptor{}, err
	}
	c := config{Created: epoch, Architecture: p.architecture, OS: "linux"}
	c.Config.User = fmt.Sprintf("%d:%d", user, user)
	c.Config.Entrypoint = []string{"/rbcs"}
	c.Config.Cmd = []string{"serve", "--listen=:8080"}
	c.Config.WorkingDir = "/data"
	c.Config.ExposedPorts = map[string]struct{}{"8080/tcp": {}}
	c.Config.Volumes = map[string]struct{}{"/data": {}}
	c.Config.StopSignal = "SIGTERM"
	c.Config.Labels = map[string]string{
		"org.opencontainers.image.title":       "rbcs",
		"org.opencontainers.image.description": "Real-time balance calculation: exact money, exactly once",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
	}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{digestOf(layer)}
	c.History = []history{{epoch, "rbcs/tools/image"}}
	m := manifest{2, manifestType, b.add(configType, encode(c)), []descriptor{b.add(layerType, packed.Bytes())}}
	image := b.add(manifestType, encode(m))
	image.Platform = &ociPlatform{p.architecture, "linux"}
	return image, nil
}

// layerOf is the only layer: the program, whom it may trust, and a folder for the
// data of SQLite, which is the one thing that its user may write.
func layerOf(binary, roots []byte) ([]byte, error) {
	account := fmt.Appendf(nil, "rbcs:x:%d:%d::/data:/rbcs\n", user, user)
	return tarOf([]entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: account},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: roots},
		{name: "data/", mode: 0o700, owner: user},
		{name: "rbcs", mode: 0o755, content: binary},
	})
}

// write makes the archive of an OCI image layout.
func write(stored blobs, top index) ([]byte, error) {
	entries := []entry{
		{name: "oci-layout", mode: 0o644, content: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{name: "index.json", mode: 0o644, content: encode(top)},
		{name: "blobs/", mode: 0o755},
		{name: "blobs/sha256/", mode: 0o755},
	}
	for _, digest := range slices.Sorted(maps.Keys(stored)) {
		entries = append(entries, entry{name: "blobs/" + strings.Replace(digest, ":", "/", 1), mode: 0o644, content: stored[digest]})
	}
	return tarOf(entries)
}

// entry is a file, or a folder where its name ends in a slash.
type entry struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

func tarOf(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{
			Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.content)),
			ModTime: epoch, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// encode returns JSON of what always has one.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return text
}
