package rbcs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "rbcs"

// mayImport says which packages of this module the lower packages may import,
// by folder. The imports of the others are checked by onlyWiring alone.
var mayImport = map[string][]string{
	".":                 {},
	"client":            {"."},
	"internal/posting":  {"."},
	"internal/engine":   {"."},
	"internal/expiry":   {"."},
	"internal/intake":   {"."},
	"internal/redis":    {"."},
	"internal/postgres": {".", "internal/posting"},
	"internal/sqlite":   {".", "internal/posting"},
}

// standardOnly are the packages that import no library either.
var standardOnly = []string{".", "internal/posting"}

// onlyWiring are the packages that the commands put together: nothing else but
// tests, and the packages that only tests use, may know which one it talks to.
var (
	onlyWiring  = []string{"internal/postgres", "internal/sqlite", "internal/redis"}
	testSupport = []string{"internal/storetest", "internal/testenv", "test"}
)

// TestImportsGoOneWay keeps the layout: what is imported knows nothing of what imports it.
func TestImportsGoOneWay(t *testing.T) {
	imports := moduleImports(t)
	for folder, list := range imports {
		for _, fault := range importFaults(folder, list) {
			t.Error(fault)
		}
	}
	if len(imports["."]) == 0 || len(imports["internal/posting"]) == 0 {
		t.Errorf("the packages were not read: %v", imports)
	}
}

func TestImportFaultsAreSeen(t *testing.T) {
	for _, c := range []struct {
		folder, imported string
		want             bool
	}{
		{".", "time", false},
		{".", "rbcs/internal/posting", true},
		{".", "github.com/google/uuid", true},
		{"internal/posting", "rbcs", false},
		{"internal/posting", "github.com/google/uuid", true},
		{"internal/engine", "rbcs", false},
		{"internal/engine", "golang.org/x/sync/errgroup", false},
		{"internal/engine", "rbcs/internal/posting", true},
		{"internal/sqlite", "rbcs/internal/posting", false},
		{"internal/sqlite", "modernc.org/sqlite", false},
		{"internal/sqlite", "rbcs/internal/engine", true},
		{"internal/rest", "rbcs/internal/engine", false},
		{"internal/rest", "rbcs/internal/sqlite", true},
		{"internal/rest", "rbcs/cmd/rbcs", true},
		{"internal/storetest", "rbcs/internal/sqlite", false},
		{"client", "rbcs/internal/rest", true},
		{"cmd/rbcs", "rbcs/internal/sqlite", false},
	} {
		if got := importFaults(c.folder, []string{c.imported}); (len(got) > 0) != c.want {
			t.Errorf("%s imports %s: faults %q, want some: %v", c.folder, c.imported, got, c.want)
		}
	}
}

// importFaults returns what is wrong with the imports of the package in folder.
func importFaults(folder string, imports []string) (faults []string) {
	allowed, listed := mayImport[folder]
	isWiring := func(folder string) bool {
		return strings.HasPrefix(folder, "cmd/") || slices.ContainsFunc(testSupport, func(s string) bool {
			return folder == s || strings.HasPrefix(folder, s+"/")
		})
	}
	for _, imported := range imports {
		target, ours := ourFolder(imported)
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case !ours && strings.Contains(first, ".") && slices.Contains(standardOnly, folder):
			faults = append(faults, folder+" imports the library "+imported+"; it may use the standard library only")
		case !ours:
		case listed && !slices.Contains(allowed, target):
			faults = append(faults, folder+" imports "+target+"; it may import only "+strings.Join(allowed, ", "))
		case isWiring(target) && !isWiring(folder):
			faults = append(faults, folder+" imports "+target+"; only commands and tests may")
		case slices.Contains(onlyWiring, target) && !isWiring(folder):
			faults = append(faults, folder+" imports "+target+"; only the commands put a store or a cache in")
		}
	}
	return faults
}

// ourFolder returns the folder of a package of this module.
func ourFolder(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// moduleImports returns what each package of the module imports outside of its tests, by folder.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != ".":
			_, noModule := os.Stat(filepath.Join(file, "go.mod"))
			if noModule == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		case path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(file))
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[folder] = append(imports[folder], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}
