// Mkimage NAME:TAG OUT.tar FILE puts one static file into an image of one layer, in the layout that containerd
// imports. The file is its entry point.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: mkimage NAME:TAG OUT.tar FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func write(name, out, file string) error {
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	entry := filepath.Base(file)
	var layer bytes.Buffer
	err = archive(&layer,
		entryOf("etc/passwd", 0o644, []byte("root:x:0:0::/:/\nnonroot:x:65532:65532::/:/\n")),
		entryOf(entry, 0o755, program))
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/" + entry}, "Env": []string{"PATH=/"}, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	err = archive(f, entryOf(configName, 0o644, config), entryOf("layer.tar", 0o644, layer.Bytes()), entryOf("manifest.json", 0o644, manifest))
	if err != nil {
		return err
	}
	return f.Close()
}

type entry struct {
	header  tar.Header
	content []byte
}

func entryOf(name string, mode int64, content []byte) entry {
	return entry{tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}, content}
}

func archive(w io.Writer, entries ...entry) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		if err := t.WriteHeader(&e.header); err != nil {
			return err
		}
		if _, err := t.Write(e.content); err != nil {
			return err
		}
	}
	return t.Close()
}
