// Package house holds no code: its test keeps the house rules of docs/decisions.md, section 1.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// pure are the packages that do no I/O and read no clock.
var pure = []string{"ike", "ike/adversary", "ike/budget", "ike/certificate", "ike/child", "ike/identity", "ike/liveness", "ike/pacing", "ike/proposal", "ike/queue", "ike/reason", "ike/timer", "ike/window", "ike/wire", "ike/suite", "esp", "esp/aesmode", "selector", "tun/gso", "tun/protect", "dataplane/pmtu", "internal/ipheader", "internal/ipsec", "internal/keylog"}

// forbidden are imports that a package must not have; a trailing slash forbids everything below.
var forbidden = map[string][]string{
	"ike":                 {"culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/", "culvert/ike/driver"},
	"ike/adversary":       {"culvert/ike", "culvert/ike/budget", "culvert/ike/certificate", "culvert/ike/child", "culvert/ike/driver", "culvert/ike/identity", "culvert/ike/window", "culvert/selector", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"ike/budget":          {"culvert/"},
	"ike/certificate":     {"culvert/ike", "culvert/ike/driver", "culvert/ike/suite", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/tun/", "culvert/internal/"},
	"ike/child":           {"culvert/ike", "culvert/ike/driver", "culvert/ike/suite", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/tun/", "culvert/internal/"},
	"ike/identity":        {"culvert/ike", "culvert/ike/driver", "culvert/ike/suite", "culvert/selector", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"ike/liveness":        {"culvert/"},
	"ike/pacing":          {"culvert/"},
	"ike/proposal":        {"culvert/ike", "culvert/ike/driver", "culvert/ike/suite", "culvert/selector", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"ike/queue":           {"culvert/"},
	"ike/reason":          {"culvert/ike", "culvert/ike/certificate", "culvert/ike/child", "culvert/ike/driver", "culvert/ike/suite", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"ike/timer":           {"culvert/"},
	"ike/window":          {"culvert/ike", "culvert/ike/driver", "culvert/ike/suite", "culvert/selector", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"ike/wire":            {"culvert/"},
	"ike/suite":           {"culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/", "culvert/ike", "culvert/ike/driver"},
	"ike/driver":          {"culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"dataplane":           {"culvert/ike", "culvert/ike/", "culvert/internal/"},
	"dataplane/turnstile": {"culvert/"},
	"esp/aesmode":         {"culvert/ike", "culvert/ike/", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"esp":                 {"culvert/ike", "culvert/ike/", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/internal/"},
	"selector":            {"culvert/ike", "culvert/ike/", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/tun/", "culvert/internal/"},
	"internal/ipheader":   {"culvert/"},
	"internal/ipsec":      {"culvert/ike", "culvert/ike/", "culvert/dataplane", "culvert/dataplane/", "culvert/tun", "culvert/tun/", "culvert/internal/"},
	"tun/cbpf":            {"culvert/"},
	"tun/gso":             {"culvert/ike", "culvert/ike/", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/internal/", "culvert/tun"},
	"tun":                 {"culvert/ike", "culvert/ike/", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/selector", "culvert/internal/"},
	"tun/guard":           {"culvert/ike", "culvert/ike/", "culvert/esp", "culvert/dataplane", "culvert/dataplane/", "culvert/selector", "culvert/internal/", "culvert/tun"},
	"tun/protect":         {"culvert/"},
}

// lowest is the package below all others: what headers look like. The packages around packets may
// import it, although it is internal.
const lowest = "culvert/internal/ipheader"

// shared is the package of the words that the control plane and the dataplane share. The packages
// in sharing may import it, although it is internal.
const shared = "culvert/internal/ipsec"

var sharing = []string{"ike", "ike/child", "ike/driver", "dataplane"}

// only names the one package that may import each of these.
var only = map[string]string{
	"github.com/BurntSushi/toml": "internal/config",
	"culvert/bench":              "cmd/culvert",
}

// forTests are the packages that only tests import.
var forTests = []string{"culvert/ike/adversary", "culvert/ike/proposal/proposaltest", "culvert/internal/certtest", "culvert/internal/packettest"}

type sourceFile struct {
	dir, path string
	ast       *ast.File
	test      bool
}

func sources(t *testing.T) []sourceFile {
	t.Helper()
	var out []sourceFile
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		out = append(out, sourceFile{dir: filepath.ToSlash(rel), path: path, ast: f, test: strings.HasSuffix(path, "_test.go")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func imports(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

func TestImportsRunOneWay(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, imp := range imports(f.ast) {
			for _, no := range forbidden[f.dir] {
				if imp == lowest && !strings.HasPrefix(f.dir, "ike") && f.dir != "tun/protect" {
					continue
				}
				if imp == shared && slices.Contains(sharing, f.dir) {
					continue
				}
				if imp == no || strings.HasSuffix(no, "/") && strings.HasPrefix(imp, no) {
					t.Errorf("%s imports %s: %s must not", f.path, imp, f.dir)
				}
			}
			if slices.Contains(forTests, imp) {
				t.Errorf("%s imports %s: only tests may", f.path, imp)
			}
			for lib, who := range only {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && f.dir != who && !strings.HasPrefix(f.dir, strings.TrimPrefix(lib, "culvert/")) {
					t.Errorf("%s imports %s: only %q may", f.path, imp, who)
				}
			}
		}
	}
}

func TestPurePackagesDoNoIO(t *testing.T) {
	banned := []string{"net", "os", "syscall", "log", "log/slog", "golang.org/x/sys/unix"}
	for _, f := range sources(t) {
		if f.test || !slices.Contains(pure, f.dir) {
			continue
		}
		for _, imp := range imports(f.ast) {
			if slices.Contains(banned, imp) {
				t.Errorf("%s imports %s: %s is pure", f.path, imp, f.dir)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, sel.Sel.Name) {
				t.Errorf("%s calls time.%s: %s is given the time", f.path, sel.Sel.Name, f.dir)
			}
			return true
		})
	}
}

func TestUnsafeStaysWithDevices(t *testing.T) {
	allowed := []string{"tun", "dataplane/netio", "internal/netlab"}
	for _, f := range sources(t) {
		if slices.Contains(imports(f.ast), "unsafe") && !slices.Contains(allowed, f.dir) {
			t.Errorf("%s imports unsafe: only %v may", f.path, allowed)
		}
	}
}

func TestTopLevelFolders(t *testing.T) {
	allowed := []string{"cmd", "ike", "esp", "dataplane", "selector", "tun", "bench", "internal", "docs", "packaging"}
	for _, f := range sources(t) {
		if top, _, _ := strings.Cut(f.dir, "/"); !slices.Contains(allowed, top) {
			t.Errorf("%s: top-level %q is not part of the house", f.path, top)
		}
	}
}
