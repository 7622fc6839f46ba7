package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit reads a systemd unit: its lines by section and key.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("%s: %q is not a setting", name, line)
		default:
			out[section+"."+key] = append(out[section+"."+key], strings.Fields(value)...)
		}
	}
	return out
}

// The guard stands before there is a network, and before the daemon.
func TestUnits(t *testing.T) {
	g, d := unit(t, "culvert-guard.service"), unit(t, "culvert.service")
	for _, tt := range []struct {
		unit map[string][]string
		key  string
		want string
	}{
		{g, "Unit.DefaultDependencies", "no"},
		{g, "Unit.Wants", "network-pre.target"},
		{g, "Unit.Before", "network-pre.target"},
		{g, "Unit.Before", "shutdown.target"},
		{g, "Unit.Conflicts", "shutdown.target"},
		{g, "Service.Type", "oneshot"},
		{g, "Service.RemainAfterExit", "yes"},
		{g, "Service.ExecStart", "guard"},
		{g, "Service.AmbientCapabilities", "CAP_NET_ADMIN"},
		{g, "Install.WantedBy", "multi-user.target"},
		{d, "Unit.After", "culvert-guard.service"},
		{d, "Unit.Wants", "culvert-guard.service"},
		{d, "Service.ExecStart", "run"},
	} {
		if !slices.Contains(tt.unit[tt.key], tt.want) {
			t.Errorf("%s is %q, which lacks %s", tt.key, tt.unit[tt.key], tt.want)
		}
	}
	for _, key := range []string{"Service.ExecStop", "Service.ExecStopPost"} {
		if len(g[key]) > 0 || len(d[key]) > 0 {
			t.Errorf("%s: the guard outlives the units", key)
		}
	}
	if a, b := g["Service.ExecStart"], d["Service.ExecStart"]; a[len(a)-1] != b[len(b)-1] {
		t.Errorf("the guard reads %s, the daemon %s", a[len(a)-1], b[len(b)-1])
	}
}

// systemd itself finds no fault with the units, where it is installed.
func TestUnitsAreVerified(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip(err)
	}
	program, err := os.Executable() // one that is there, instead of culvert
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, name := range []string{"culvert-guard.service", "culvert.service"} {
		data, err := os.ReadFile(filepath.Join(root, "packaging", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		text := strings.ReplaceAll(string(data), "/usr/local/bin/culvert", program)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) { // an unknown key is a warning, which names the file
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// Removing the package releases the guard, an upgrade does not.
func TestPrermReleases(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "packaging", "prerm"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	called, program, script := filepath.Join(dir, "called"), filepath.Join(dir, "culvert"), filepath.Join(dir, "prerm")
	text := strings.NewReplacer("/usr/local/bin/culvert", program, "/run/systemd/system", filepath.Join(dir, "none")).Replace(string(data))
	for path, text := range map[string]string{program: "#!/bin/sh\necho \"$@\" >>" + called + "\n", script: text} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for arg, want := range map[string]string{"remove": "release\n", "upgrade": "", "0": "release\n", "1": ""} {
		os.Remove(called)
		if out, err := exec.Command("sh", script, arg).CombinedOutput(); err != nil {
			t.Fatalf("prerm %s: %v: %s", arg, err, out)
		}
		if got, _ := os.ReadFile(called); string(got) != want {
			t.Errorf("prerm %s calls %q, want %q", arg, got, want)
		}
	}
}
