package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// qualified is a name as the glossary writes it: folder, identifier, and perhaps a method or field.
var qualified = regexp.MustCompile("`([a-z0-9]+(?:/[a-z0-9]+)*\\.[A-Za-z0-9_]+(?:\\.[A-Za-z0-9_]+)?)`")

// TestGlossary looks for each name of the glossary in its package.
func TestGlossary(t *testing.T) {
	const leastNames = 60
	text, err := os.ReadFile(filepath.Join(root, "docs/glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := declared(t)
	named := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if isRow(line, 4) && !strings.HasPrefix(line, "| word |") && !qualified.MatchString(line) {
			t.Errorf("no name in the row %s", line)
		}
		for _, m := range qualified.FindAllStringSubmatch(line, -1) {
			named[m[1]] = true
			if !have[m[1]] {
				t.Errorf("docs/glossary.md: there is no %s", m[1])
			}
		}
	}
	if len(named) < leastNames {
		t.Errorf("%d names were found: are the tables what they were?", len(named))
	}
}

// declared returns what the packages declare outside of tests: folder and identifier, and for a
// type also its methods and fields.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				out[f.dir+"."+funcName(d)] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					for _, name := range specNames(s) {
						out[f.dir+"."+name] = true
					}
				}
			}
		}
	}
	return out
}

// funcName returns a function's name, or a method's behind its type.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	switch x := typ.(type) {
	case *ast.IndexExpr:
		typ = x.X
	case *ast.IndexListExpr:
		typ = x.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

// specNames returns the names that a declaration of types, variables or constants makes.
func specNames(s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, id := range s.Names {
			names = append(names, id.Name)
		}
	case *ast.TypeSpec:
		names = append(names, s.Name.Name)
		var members *ast.FieldList
		switch x := s.Type.(type) {
		case *ast.StructType:
			members = x.Fields
		case *ast.InterfaceType:
			members = x.Methods
		default:
			return names
		}
		for _, field := range members.List {
			for _, id := range field.Names {
				names = append(names, s.Name.Name+"."+id.Name)
			}
		}
	}
	return names
}
