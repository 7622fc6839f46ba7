package mutate

import (
	"fmt"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sitesIn returns the sites of a file with the text.
func sitesIn(t *testing.T, text string) []site {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "x.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return sitesOf(fset, file, []byte(text))
}

func TestSites(t *testing.T) {
	for code, want := range map[string][]string{
		"a = b < c":                  {"`<` -> `<=`", "`<` -> `>=`"},
		"a = b <= c":                 {"`<=` -> `<`", "`<=` -> `>`"},
		"a = b > c":                  {"`>` -> `>=`", "`>` -> `<=`"},
		"a = b >= c":                 {"`>=` -> `>`", "`>=` -> `<`"},
		"a = b == c":                 {"`==` -> `!=`"},
		"a = b != c":                 {"`!=` -> `==`"},
		"a = b && c || d":            {"`&&` -> `||`", "`||` -> `&&`"},
		"a = b + c - d":              {"`+` -> `-`", "`-` -> `+`"},
		"a += b":                     {"`+=` -> `-=`"},
		"a -= b":                     {"`-=` -> `+=`"},
		"a++":                        {"`++` -> `--`"},
		"a--":                        {"`--` -> `++`"},
		"a = -b":                     nil,
		"a = !b":                     {"delete `!`"},
		"a = 7":                      {"`7` -> `8`", "`7` -> `6`"},
		"a = 0x10":                   {"`0x10` -> `17`", "`0x10` -> `15`"},
		"a = 0":                      {"`0` -> `1`", "`0` -> `(-1)`"},
		"a = 0xffffffffffffffff":     nil,
		"a, b = 1.5, \"7\"":          nil,
		"return true, b":             {"`true` -> `false`"},
		"return false, true":         {"`false` -> `true`", "`true` -> `false`"},
		"a = true":                   nil,
		"for { break }":              {"`break` -> `continue`"},
		"for { continue }":           {"`continue` -> `break`"},
		"f(b)":                       {"delete `f(b)`"},
		"f(\nb)":                     {"delete `f(...`"},
		"a = f(b)":                   nil,
		"a = make([]int, 3)":         {"`3` -> `4`", "`3` -> `2`"},
		"a = make([]int, 3, 4+n)":    {"`3` -> `4`", "`3` -> `2`", "`+` -> `-`"},
		"a = make(map[int]int, 8)":   nil,
		"a = make(chan int, 8)":      {"`8` -> `9`", "`8` -> `7`"},
		"defer f(b)":                 nil,
		"type t struct { x [2]int }": {"`2` -> `3`", "`2` -> `1`"},
	} {
		var got []string
		for _, s := range sitesIn(t, "package p\nfunc f() {\n"+code+"\n}\n") {
			for _, m := range s {
				got = append(got, m.Change)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
}

// Every mutant differs from the file in the place that it names, and keeps its lines.
func TestApply(t *testing.T) {
	const text = "package p\n\nfunc f() bool {\n\tg(\n\t\t1)\n\treturn !h(2 < x)\n}\n"
	var got []string
	for _, s := range sitesIn(t, text) {
		for _, m := range s {
			changed := string(m.apply([]byte(text)))
			if a, b := strings.Count(changed, "\n"), strings.Count(text, "\n"); a != b {
				t.Errorf("%s: %d lines, want %d", m.Change, a, b)
			}
			got = append(got, fmt.Sprintf("%d:%d %s", m.Line, m.Column, strings.Split(changed, "\n")[m.Line-1]))
		}
	}
	want := []string{"4:2 \t", "5:3 \t\t2)", "5:3 \t\t0)", "6:9 \treturn h(2 < x)", "6:12 \treturn !h(3 < x)", "6:12 \treturn !h(1 < x)",
		"6:14 \treturn !h(2 <= x)", "6:14 \treturn !h(2 >= x)"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestShort(t *testing.T) {
	for text, want := range map[string]string{
		"f()":                           "f()",
		"f(\n\tx)":                      "f(...",
		strings.Repeat("é", 60):         strings.Repeat("é", 60),
		strings.Repeat("é", 61) + "\nx": strings.Repeat("é", 60) + "...",
	} {
		if got := short(text); got != want {
			t.Errorf("short(%q) = %q, want %q", text, got, want)
		}
	}
}

// The seed and the package decide the order and the mutant of each site; no site comes twice.
func TestDraw(t *testing.T) {
	sites := sitesIn(t, "package p\nvar x = []int{"+strings.Repeat("5, ", 50)+"}\n")
	first := draw(sites, 1, "p")
	if !reflect.DeepEqual(first, draw(sites, 1, "p")) {
		t.Error("the same seed gave another order")
	}
	if reflect.DeepEqual(first, draw(sites, 2, "p")) || reflect.DeepEqual(first, draw(sites, 1, "q")) {
		t.Error("another seed or package gave the same order")
	}
	places, texts := map[int]bool{}, map[string]int{}
	for _, m := range first {
		places[m.from] = true
		texts[m.text]++
	}
	if len(places) != 50 || len(first) != 50 {
		t.Errorf("%d places in %d mutants, want 50", len(places), len(first))
	}
	if texts["6"] == 0 || texts["4"] == 0 {
		t.Errorf("mutants %v, want both kinds", texts)
	}
}
