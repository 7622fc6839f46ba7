package house

import (
	"slices"
	"strings"
	"testing"
)

// commandsOnly are packages that serve a single command. They stay out of the daemon.
var commandsOnly = []string{"bench", "internal/demo", "internal/netlab"}

// TestDaemonLinksNoCommands follows the imports of the daemon, for every operating system, and
// wants none of commandsOnly among them.
func TestDaemonLinksNoCommands(t *testing.T) {
	graph, present := map[string][]string{}, map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		graph[f.dir] = append(graph[f.dir], ours(imports(f.ast))...)
		present[f.dir] = true
	}
	ways := reach(graph, "internal/daemon")
	if ways["esp"] == "" {
		t.Fatalf("the daemon does not reach esp: its imports were not followed: %v", ways)
	}
	for _, dir := range commandsOnly {
		if !present[dir] {
			t.Errorf("%s has no source files", dir)
		}
		if way := ways[dir]; way != "" {
			t.Errorf("the daemon links to %s: %s", dir, way)
		}
	}
}

// TestOnlyCommandsImportThem wants commandsOnly to be imported by cmd/culvert and by one another
// alone, and in cmd/culvert by the files of the commands demo and bench.
func TestOnlyCommandsImportThem(t *testing.T) {
	files := []string{"demo.go", "bench_linux.go"}
	for _, f := range sources(t) {
		if f.test || slices.ContainsFunc(commandsOnly, func(dir string) bool { return f.dir == dir || strings.HasPrefix(f.dir, dir+"/") }) {
			continue
		}
		for _, dir := range ours(imports(f.ast)) {
			allowed := f.dir == "cmd/culvert" && slices.ContainsFunc(files, func(name string) bool { return strings.HasSuffix(f.path, "/"+name) })
			if slices.Contains(commandsOnly, dir) && !allowed {
				t.Errorf("%s imports %s: only %v of cmd/culvert may", f.path, dir, files)
			}
		}
	}
}

// ours returns the folders of those imports that belong to the project.
func ours(imports []string) []string {
	var out []string
	for _, i := range imports {
		if dir, ok := strings.CutPrefix(i, "culvert/"); ok {
			out = append(out, dir)
		}
	}
	return out
}

// reach returns every folder that can be reached from one in the graph of imports, each with the
// way to it.
func reach(graph map[string][]string, from string) map[string]string {
	ways := map[string]string{from: from}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]] {
			if ways[next] == "" {
				ways[next] = ways[queue[0]] + " -> " + next
				queue = append(queue, next)
			}
		}
	}
	return ways
}

func TestReach(t *testing.T) {
	graph := map[string][]string{"a": {"b", "c"}, "b": {"d"}, "d": {"a"}, "x": {"y"}}
	ways := reach(graph, "a")
	if len(ways) != 4 || ways["d"] != "a -> b -> d" || ways["y"] != "" {
		t.Errorf("got %v", ways)
	}
}
