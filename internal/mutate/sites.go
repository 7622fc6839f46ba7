package mutate

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Mutant is a change of one token, or the removal of one call.
type Mutant struct {
	File         string // absolute
	Line, Column int
	Change       string // for people: `<` -> `<=`

	from, to int // octets of the file that are replaced
	text     string
}

// apply returns the file's text with the change.
func (m Mutant) apply(src []byte) []byte {
	return slices.Concat(src[:m.from], []byte(m.text), src[m.to:])
}

// site is a place in the code with the mutants that are possible there, at least one.
type site []Mutant

// swaps are the operators and statements that are replaced, each by one of the others named.
var swaps = map[token.Token][]string{
	token.LSS:        {"<=", ">="},
	token.LEQ:        {"<", ">"},
	token.GTR:        {">=", "<="},
	token.GEQ:        {">", "<"},
	token.EQL:        {"!="},
	token.NEQ:        {"=="},
	token.LAND:       {"||"},
	token.LOR:        {"&&"},
	token.ADD:        {"-"},
	token.SUB:        {"+"},
	token.ADD_ASSIGN: {"-="},
	token.SUB_ASSIGN: {"+="},
	token.INC:        {"--"},
	token.DEC:        {"++"},
	token.BREAK:      {"continue"},
	token.CONTINUE:   {"break"},
}

// finder collects the sites of a file.
type finder struct {
	file    *token.File
	src     []byte
	without map[ast.Node]bool // constants without an effect of their own: capacities
	found   []site
}

// sitesOf returns the places for mutants in a file, in their order.
func sitesOf(fset *token.FileSet, file *ast.File, src []byte) []site {
	f := &finder{file: fset.File(file.Pos()), src: src, without: map[ast.Node]bool{}}
	ast.Inspect(file, func(n ast.Node) bool {
		f.visit(n)
		return true
	})
	slices.SortStableFunc(f.found, func(a, b site) int { return cmp.Compare(a[0].from, b[0].from) })
	return f.found
}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		f.swap(n.OpPos, n.Op)
	case *ast.AssignStmt:
		f.swap(n.TokPos, n.Tok)
	case *ast.IncDecStmt:
		f.swap(n.TokPos, n.Tok)
	case *ast.BranchStmt:
		f.swap(n.TokPos, n.Tok)
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			f.replace(n.OpPos, 1, "delete `!`", "")
		}
	case *ast.ReturnStmt:
		f.booleans(n)
	case *ast.BasicLit:
		f.constant(n)
	case *ast.CallExpr:
		f.capacity(n)
	case *ast.ExprStmt:
		f.call(n)
	}
}

// replace adds a site with one mutant for each text. change describes them; empty, it is made of
// the old and the new text.
func (f *finder) replace(pos token.Pos, length int, change string, texts ...string) {
	at, from := f.file.Position(pos), f.file.Offset(pos)
	var s site
	for _, text := range texts {
		m := Mutant{File: at.Filename, Line: at.Line, Column: at.Column, from: from, to: from + length, text: text, Change: change}
		if change == "" {
			m.Change = fmt.Sprintf("`%s` -> `%s`", f.src[m.from:m.to], text)
		}
		s = append(s, m)
	}
	f.found = append(f.found, s)
}

func (f *finder) swap(pos token.Pos, t token.Token) {
	if texts := swaps[t]; len(texts) > 0 {
		f.replace(pos, len(t.String()), "", texts...)
	}
}

// booleans swaps each literal true and false that is returned.
func (f *finder) booleans(n *ast.ReturnStmt) {
	opposite := map[string]string{"true": "false", "false": "true"}
	for _, r := range n.Results {
		if id, ok := r.(*ast.Ident); ok && opposite[id.Name] != "" {
			f.replace(id.Pos(), len(id.Name), "", opposite[id.Name])
		}
	}
}

// constant puts an integer's neighbours in its place.
func (f *finder) constant(n *ast.BasicLit) {
	if n.Kind != token.INT || f.without[n] {
		return
	}
	v, err := strconv.ParseUint(n.Value, 0, 63)
	if err != nil {
		return // beyond 63 bits
	}
	below := strconv.FormatInt(int64(v)-1, 10)
	if v == 0 {
		below = "(-1)"
	}
	f.replace(n.Pos(), len(n.Value), "", strconv.FormatUint(v+1, 10), below)
}

// capacity excuses the constants in the capacity of a slice and in the size of a map: they change
// how much memory is taken at once and nothing else.
func (f *finder) capacity(n *ast.CallExpr) {
	if id, ok := n.Fun.(*ast.Ident); !ok || id.Name != "make" || len(n.Args) < 2 {
		return
	}
	hints := n.Args[2:]
	if _, ok := n.Args[0].(*ast.MapType); ok {
		hints = n.Args[1:]
	}
	for _, h := range hints {
		ast.Inspect(h, func(n ast.Node) bool {
			f.without[n] = true
			return true
		})
	}
}

// call deletes a call that is a statement, and keeps its line ends.
func (f *finder) call(n *ast.ExprStmt) {
	c, ok := n.X.(*ast.CallExpr)
	if !ok {
		return
	}
	text := string(f.src[f.file.Offset(c.Pos()):f.file.Offset(c.End())])
	f.replace(c.Pos(), len(text), "delete `"+short(text)+"`", strings.Repeat("\n", strings.Count(text, "\n")))
}

// short returns the first line of a text, cut where it is long.
func short(text string) string {
	const longest = 60
	line, _, more := strings.Cut(text, "\n")
	if r := []rune(line); len(r) > longest {
		line, more = string(r[:longest]), true
	}
	if more {
		line += "..."
	}
	return line
}

// draw returns one mutant of each site in an order that only the seed, the package's path and its
// code decide.
func draw(sites []site, seed uint64, path string) []Mutant {
	h := fnv.New64a()
	h.Write([]byte(path))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	out := make([]Mutant, 0, len(sites))
	for _, i := range r.Perm(len(sites)) {
		out = append(out, sites[i][r.IntN(len(sites[i]))])
	}
	return out
}
