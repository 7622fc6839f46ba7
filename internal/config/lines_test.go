package config

import (
	"strings"
	"testing"
	"time"
)

func TestLineIndex(t *testing.T) {
	doc := `# comment with [brackets] = "and quotes
a = 1 # [[not.a.table]]
"b c" = """
x = 2
[y]
""" # after
d.e.f = 'it''s'
g = [ # a list
  "one", # [
  "tw]o",

  '''three
  and more''', { h = 1,
    i = { j = 2 } },
]
t = 2026-01-01 10:00:00
[[peer]]
name = "esc\"aped = "
  [[peer.child]]
  remote = ["x",
            "y"]
  [[ peer . "child" ]]
  manual = { key = "}", other = [1,
     2] }
[[peer]]
name = ''
  [[peer.child]]
  local = []
  [peer.child.lifetime]
  time = "x"
[daemon]
log = """"quoted""""
mtu = 0
`
	want := map[string]int{
		"a": 2, "b c": 3, "d": 7, "d.e": 7, "d.e.f": 7, "g": 8, "g[0]": 9, "g[1]": 10, "g[2]": 12, "g[3]": 13, "g[3].h": 13, "g[3].i": 14, "g[3].i.j": 14,
		"t": 16, "peer[0]": 17, "peer[0].name": 18, "peer[0].child[0]": 19, "peer[0].child[0].remote[0]": 20, "peer[0].child[0].remote[1]": 21,
		"peer[0].child[1]": 22, "peer[0].child[1].manual.key": 23, "peer[0].child[1].manual.other[1]": 24,
		"peer[1]": 25, "peer[1].child[0]": 27, "peer[1].child[0].local": 28, "peer[1].child[0].lifetime": 29, "peer[1].child[0].lifetime.time": 30,
		"daemon": 31, "daemon.log": 32, "daemon.mtu": 33,
	}
	got := indexLines(doc)
	for path, line := range want {
		if got[path] != line {
			t.Errorf("%s: got line %d, want %d", path, got[path], line)
		}
	}
	if _, ok := got["y"]; ok || got["x"] != 0 {
		t.Error("found a key within a string")
	}
}

// Documents that are no TOML never get here, but must not hang the scanner.
func TestLineIndexEnds(t *testing.T) {
	doc := "[[peer]]\na = [1, {b = \"x\\\"\"}]\nc = '''\n'''\n[d.e]\nf = {g = 1}\n"
	deadline := time.AfterFunc(10*time.Second, func() { panic("indexLines hangs") })
	defer deadline.Stop()
	for i := range doc {
		indexLines(doc[i:])
		indexLines(doc[:i])
		for _, c := range []string{`"`, `'`, `[`, `{`, `]`, `}`, `=`, `\`, "\n", ".", ","} {
			indexLines(doc[:i] + c + doc[i:])
		}
	}
	indexLines("a = " + strings.Repeat("[", 100000))
	indexLines("a = " + strings.Repeat("{a=", 100000))
}
