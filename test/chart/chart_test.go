// Package chart checks the Helm chart without a cluster: what it renders from all
// files of values is decoded strictly, compared with golden files, and held against
// the program's flags and metrics.
package chart

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	root     = "../.."
	chartDir = root + "/deploy/helm/rbcs"
)

// scenarios are the values that the chart is rendered from: the files that come
// with it, and settings that turn on what they leave off.
var scenarios = map[string][]string{
	"eks":       {chartDir + "/values-eks.yaml"},
	"gke":       {chartDir + "/values-gke.yaml"},
	"ack":       {chartDir + "/values-ack.yaml"},
	"tryout":    {chartDir + "/values-tryout.yaml"},
	"minimal":   {"testdata/minimal.yaml"},
	"all":       {"testdata/all.yaml"},
	"nogateway": {"testdata/minimal.yaml", "testdata/nogateway.yaml"},
}

func eachScenario(t *testing.T, check func(t *testing.T, r release)) {
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			r, err := render(load(t), valuesOf(t, scenarios[name]...))
			if err != nil {
				t.Fatal(err)
			}
			check(t, r)
		})
	}
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// valuesOf merges files of values, the later ones over the earlier, as helm does.
func valuesOf(t *testing.T, files ...string) map[string]any {
	t.Helper()
	merged := map[string]any{}
	for _, file := range files {
		values, err := common.ReadValuesFile(file)
		if err != nil {
			t.Fatal(err)
		}
		merged = util.MergeTables(values.AsMap(), merged)
	}
	return merged
}

// release is what the chart renders.
type release struct {
	notes     string
	manifests map[string]string // by file
	objects   []object
}

// object is one rendered object.
type object struct {
	file string
	yaml string
	head
}

type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

func (o object) String() string { return o.Kind + " " + o.Metadata.Name }

// render renders the chart as `helm install rbcs --namespace bank` would, after the
// values were checked against the schema.
func render(c *chart.Chart, values map[string]any) (release, error) {
	options := common.ReleaseOptions{Name: "rbcs", Namespace: "bank", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValuesWithSchemaValidation(c, values, options, common.DefaultCapabilities, false)
	if err != nil {
		return release{}, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return release{}, err
	}
	r := release{manifests: map[string]string{}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name := strings.TrimPrefix(path, c.Name()+"/templates/")
		if strings.HasSuffix(name, "NOTES.txt") {
			r.notes = files[path]
			continue
		}
		for document := range strings.SplitSeq("\n"+files[path], "\n---\n") {
			o := object{file: name, yaml: document}
			if err := yaml.Unmarshal([]byte(document), &o.head); err != nil {
				return release{}, fmt.Errorf("%s: %w in\n%s", name, err, document)
			}
			if o.Kind == "" {
				continue // comments only
			}
			r.objects = append(r.objects, o)
			r.manifests[name] += "---\n" + strings.Trim(document, "\n") + "\n"
		}
	}
	return r, nil
}

// find returns the one object of a kind and name.
func (r release) find(t *testing.T, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(r.objects, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return r.objects[i]
}

// TestLint runs `helm lint --strict`: warnings fail, too.
func TestLint(t *testing.T) {
	for name, files := range scenarios {
		lint := action.NewLint()
		lint.Strict = true
		lint.Namespace = "bank"
		result := lint.Run([]string{chartDir}, valuesOf(t, files...))
		for _, message := range result.Messages {
			if message.Severity > 1 { // 1 is a hint: the icon
				t.Errorf("%s: %v", name, message)
			}
		}
		if result.TotalChartsLinted != 1 {
			t.Errorf("%s: %d charts were checked", name, result.TotalChartsLinted)
		}
	}
}

// TestGolden shows in review what a change of the chart does to what it renders.
func TestGolden(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		var all strings.Builder
		for _, file := range slices.Sorted(maps.Keys(r.manifests)) {
			if file == "monitoring.yaml" && strings.Contains(r.manifests[file], "rbcs.json") {
				r.manifests[file], _, _ = strings.Cut(r.manifests[file], "rbcs.json") // the dashboard is a file of its own
			}
			fmt.Fprintf(&all, "# %s\n%s", file, r.manifests[file])
		}
		fmt.Fprintf(&all, "# NOTES.txt\n%s\n", strings.TrimSpace(r.notes))
		golden := filepath.Join("testdata", "golden", filepath.Base(t.Name())+".yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if line, got, expected := firstDifference(all.String(), string(want)); line > 0 {
			t.Errorf("%s, line %d is %q and was %q; go -C test/chart test -run Golden . -update writes it", golden, line, got, expected)
		}
	})
}

func firstDifference(a, b string) (line int, inA, inB string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	at := func(lines []string, i int) string {
		if i < len(lines) {
			return lines[i]
		}
		return "(the end)"
	}
	for i := range max(len(as), len(bs)) {
		if at(as, i) != at(bs, i) {
			return i + 1, at(as, i), at(bs, i)
		}
	}
	return 0, "", ""
}
